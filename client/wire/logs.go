package wire

// Logs are the names of a job's logs, each that of the step that prints it.
type Logs struct {
	Logs []string `json:"logs"`
}
