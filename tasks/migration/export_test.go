package migration

// Source gives tests the handle that attempts read with; Target the one that they write with.
var (
	Source = (*Databases).source
	Target = (*Databases).target
)
