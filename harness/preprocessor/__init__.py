"""The Preprocessor (paper, section 3.4): Inserter, Trainer with its data sets, Splitter."""
