"""From video clips of an object on a plain background to a labelled, augmented data set."""
