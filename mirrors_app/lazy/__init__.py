"""Packages on demand: the index is taken as every mirror's is, the bytes of a package when somebody asks for them first."""
