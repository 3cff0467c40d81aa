"""Reading, checking, recording and making conda packages; bytes from strangers come in here first."""
