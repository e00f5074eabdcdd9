package outbound

// Reworded is err with a text of its own, for people: errors of a connection may quote what the server has said, and what it was asked
// with, secrets included. errors.Is and errors.As see err.
func Reworded(err error, text string) error { return &reworded{text, err} }

type reworded struct {
	text string
	err  error
}

func (r *reworded) Error() string { return r.text }
func (r *reworded) Unwrap() error { return r.err }
