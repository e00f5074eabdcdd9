package wire

import "time"

// States of a worker.
const (
	WorkerActive   = "active"   // claims and runs steps
	WorkerDraining = "draining" // claims nothing, waits for its attempts to come back
	WorkerDrained  = "drained"  // holds nothing: safe to stop
	WorkerStopped  = "stopped"  // said good-bye
	WorkerLost     = "lost"     // no heartbeat for a while; what it held was given to others
)

// What can be wanted of a worker. That nothing is known of any wish ("") undoes no drain: Redis may have lost it.
const (
	WantDrain  = "drain"
	WantActive = "active"
)

// Worker is what a worker says of itself with each heartbeat.
type Worker struct {
	ID          string            `json:"id"`
	Version     string            `json:"version"`
	Protocol    int               `json:"protocol" doc:"The newest protocol that it can read"`
	Reads       int               `json:"reads,omitempty" doc:"The oldest protocol that it can read"`
	State       string            `json:"state" enum:"active,draining,drained,stopped,lost"`
	Host        string            `json:"host,omitempty"`
	PID         int               `json:"pid,omitempty"`
	Labels      map[string]string `json:"labels"`
	Queues      []string          `json:"queues"`
	Kinds       []string          `json:"kinds,omitempty" doc:"The kinds of jobs that it can carry out"`
	Concurrency int               `json:"concurrency" doc:"Steps that it runs at once"`
	InFlight    int               `json:"in_flight" doc:"Steps that it runs now"`
	StartedAt   time.Time         `json:"started_at"`
	// Admin is where its own port answers; "" when it has none.
	Admin string `json:"admin,omitempty" doc:"Where its own port answers"`
	// Fenced says which fence keeps it from claiming; "" when none does.
	Fenced string `json:"fenced,omitempty" doc:"The version fence that keeps it from claiming"`
	// DrainingSince is when its drain began, and CutAt when a process that ends waits no longer for what it holds; both by the worker's clock.
	DrainingSince *time.Time `json:"draining_since,omitempty" doc:"When its drain began; left out while it is active"`
	CutAt         *time.Time `json:"cut_at,omitempty" doc:"When what it holds is cut, since its process is about to end; left out when it waits for as long as that takes"`
	// HeartbeatAge is the time since the last heartbeat, ms by Redis' clock. Filled in when read.
	HeartbeatAge int64 `json:"heartbeat_age_ms"`
	// SafeToStop: it is draining and holds nothing, or is gone. Filled in when read.
	SafeToStop bool `json:"safe_to_stop"`
	// Held are the ids of the attempts that it holds; nil when it does not say. Not part of the JSON; the sweep compares them
	// with the leases.
	Held []string `json:"-"`
	// Wanted is what somebody asked of it: "" (nothing yet), WantDrain or WantActive. It outlives a restart of Redis and a
	// partition of the worker.
	Wanted string `json:"wanted,omitempty" enum:"drain,active"`
}
