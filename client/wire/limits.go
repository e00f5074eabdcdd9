package wire

import "time"

// Limits are what a tenant may use at once. 0 is without limit.
type Limits struct {
	RunningJobs    int `json:"running_jobs" minimum:"0" doc:"Jobs that may run at once; others wait in line. 0 is without limit"`
	StepsPerSecond int `json:"steps_per_second" minimum:"0" maximum:"1000000" doc:"Steps that may begin in a second. 0 is without limit"`
}

// Tenant is a tenant with its limits, or "*" for all that are not named.
type Tenant struct {
	Name string `json:"name"`
	Limits
}

// Maintenance is a kind of which jobs are accepted and not started.
type Maintenance struct {
	Kind   string    `json:"kind"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Fence says which versions of workers may not claim. Of Version and NotVersion one is set.
type Fence struct {
	Version    string    `json:"version,omitempty" doc:"Workers of these versions are parked: a version, or a constraint such as <2.0"`
	NotVersion string    `json:"not_version,omitempty" doc:"Workers of all other versions are parked"`
	By         string    `json:"by,omitempty"`
	Reason     string    `json:"reason,omitempty"`
	At         time.Time `json:"at"`
}
