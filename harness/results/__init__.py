"""The versioned records of a cell: one writer, one reader, atomic."""
