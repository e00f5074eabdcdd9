package plan

// HTTP says how rows become requests.
type HTTP map[string]any

// File says how rows become files.
type File map[string]any
