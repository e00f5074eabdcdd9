package telemetry

// Family is what a test looks at of a metric.
type Family struct {
	Help   string
	Labels []string // of its first series, in the order of their names
}

// Families returns the metrics that have a series, by name.
func (t *Telemetry) Families() (map[string]Family, error) {
	gathered, err := t.registry.Gather()
	out := map[string]Family{}
	for _, f := range gathered {
		family := Family{Help: f.GetHelp()}
		for _, l := range f.Metric[0].Label {
			family.Labels = append(family.Labels, l.GetName())
		}
		out[f.GetName()] = family
	}
	return out, err
}
