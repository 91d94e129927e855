"""TAO's experiment specs: read with the line of every mistake, made into recipes and back."""
