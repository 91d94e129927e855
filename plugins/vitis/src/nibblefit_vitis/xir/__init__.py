"""XIR, the graph inside ``.xmodel`` files: values, files, translation to and from our graphs."""
