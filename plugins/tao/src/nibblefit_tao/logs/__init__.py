"""TAO's logs: the table of epochs and the lines of status, read and written."""
