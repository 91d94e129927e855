"""nibblefit target for the MAX78000 and MAX78002."""
