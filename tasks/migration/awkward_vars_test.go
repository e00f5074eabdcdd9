package migration_test

var awkwardKeys, awkwardNames, awkwardShapes, awkwardTargets, awkwardFiles []awkward
