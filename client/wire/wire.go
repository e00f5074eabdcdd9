// Package wire is what travels between a stint server and its clients: the JSON of jobs, workers, schedules and the rest.
//
// The server writes these structs and the client reads them, so that neither can drift from the other. Field names are a
// contract: they are added to, never changed. Times are RFC 3339 in UTC, durations are in the unit that their name says.
// docs/cli-json.md describes the forms field by field, and the server's /openapi.json for machines.
package wire
