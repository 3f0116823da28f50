"""What is to be done: task specifications, one adapter per simulator, and the promises every environment keeps."""
