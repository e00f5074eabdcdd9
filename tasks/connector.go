package tasks

import "encoding/json"

// Connector says which connections a spec names, so that those of other tenants can be refused before anything is opened. Of a
// family that does not say, each text of a spec that is exactly a connection's name is taken for one.
type Connector interface {
	// Connections lists the names of all connections that a job of this spec would open.
	Connections(spec json.RawMessage) ([]string, error)
}
