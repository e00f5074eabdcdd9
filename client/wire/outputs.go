package wire

import "github.com/stint-run/stint/tasks"

// Outputs are the files that a job has left behind.
type Outputs struct {
	Outputs []tasks.Output `json:"outputs"`
}
