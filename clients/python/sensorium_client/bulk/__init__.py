"""Many files: whole folders, and queues of files with workers. All of it can be killed and run
again: the ids of assets follow from the files, so the server tells what is done already."""
