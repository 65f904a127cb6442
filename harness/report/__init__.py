"""Tables, figures and pages, made from the records of a cell. Pure: nothing here measures anything."""
