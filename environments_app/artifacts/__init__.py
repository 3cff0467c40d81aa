"""Files made from a build: texts written of its lock while they are downloaded, archives and installers kept by content."""
