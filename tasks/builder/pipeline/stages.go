package pipeline

import (
	"path"
	"slices"
	"strings"
)

// fill puts in what the file leaves out.
func fill(p *Pipeline, r *reader) {
	for i := range p.Steps {
		s, at := &p.Steps[i], stepPath(i)
		if r.places[at+".needs"] == nil && i > 0 && p.Steps[i-1].Name != "" && p.Steps[i-1].Name != s.Name {
			s.Needs = []string{p.Steps[i-1].Name}
		}
		if s.Timeout == 0 {
			s.Timeout = DefaultTimeout
		}
		if len(s.Stamp) > 0 && r.places[at+".version"] == nil {
			s.Version = true
		}
	}
	for i := range p.Publish {
		fillChannels(&p.Publish[i].Channels)
	}
	if p.Tag != nil {
		fillChannels(&p.Tag.Channels)
	}
}

// fillChannels: what leaves the house without anybody having said so is a release.
func fillChannels(channels *[]string) {
	if *channels == nil {
		*channels = []string{"release"}
	}
}

// normalize writes what means the same in the same way: paths without ./ in front, sets in order, nothing where nothing is.
func (p *Pipeline) normalize() {
	p.VersionFile = cleaned(p.VersionFile)
	set(&p.Exclude, cleaned)
	for i := range p.Tools {
		for j, dir := range p.Tools[i].Path {
			p.Tools[i].Path[j] = or(folder(dir), ".")
		}
		p.Tools[i].Path = nilIfEmpty(p.Tools[i].Path)
	}
	order := map[string]int{}
	for i := range p.Steps {
		order[p.Steps[i].Name] = i
	}
	byOrder := func(a, b string) int { return order[a] - order[b] }
	for i := range p.Steps {
		s := &p.Steps[i]
		s.Dir = folder(s.Dir)
		slices.SortFunc(s.Needs, byOrder)
		s.Needs, s.Tools, s.Stamp = nilIfEmpty(s.Needs), nilIfEmpty(s.Tools), nilIfEmpty(s.Stamp)
		for _, texts := range []*[]string{&s.Produces, &s.JUnit, &s.Cache.Inputs} {
			set(texts, cleaned)
		}
		set(&s.Requires, label)
		set(&s.Secrets, nil)
		s.Environment = nilIfNone(s.Environment)
	}
	p.Environment = nilIfNone(p.Environment)
	p.Tools, p.Capabilities, p.Packages, p.Publish = nilIfEmpty(p.Tools), nilIfEmpty(p.Capabilities), nilIfEmpty(p.Packages), nilIfEmpty(p.Publish)
	for i := range p.Packages {
		k := &p.Packages[i]
		for j := range k.Files {
			k.Files[j].From = cleaned(k.Files[j].From)
			k.Files[j].To = cleaned(k.Files[j].To)
		}
		slices.SortFunc(k.After, byOrder)
		k.After, k.Run, k.Metadata = nilIfEmpty(k.After), nilIfEmpty(k.Run), nilIfNone(k.Metadata)
	}
	for i := range p.Publish {
		set(&p.Publish[i].Packages, nil)
		sortChannels(p.Publish[i].Channels)
	}
	if p.Tag != nil {
		sortChannels(p.Tag.Channels)
	}
}

// cleaned is a path or a pattern without ./ and // in it; a slash at its end stays.
func cleaned(s string) string {
	if s == "" {
		return ""
	}
	out := path.Clean(s)
	if strings.HasSuffix(s, "/") {
		out += "/"
	}
	return out
}

// folder is the path of a folder, "" for the one that paths begin in.
func folder(s string) string {
	if s = strings.TrimSuffix(cleaned(s), "/"); s == "." {
		return ""
	}
	return s
}

// label writes NAME=true as NAME.
func label(s string) string { return strings.TrimSuffix(s, "=true") }

func set(texts *[]string, change func(string) string) {
	each(*texts, change)
	slices.Sort(*texts)
	*texts = nilIfEmpty(*texts)
}

func each(texts []string, change func(string) string) {
	for i := range texts {
		if change != nil {
			texts[i] = change(texts[i])
		}
	}
}

func sortChannels(channels []string) {
	slices.SortFunc(channels, func(a, b string) int { return slices.Index(Channels, a) - slices.Index(Channels, b) })
}

func nilIfEmpty[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

func nilIfNone(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

// Step returns the step of a name; nil when there is none.
func (p *Pipeline) Step(name string) *Step {
	for i := range p.Steps {
		if p.Steps[i].Name == name {
			return &p.Steps[i]
		}
	}
	return nil
}

// Stages returns the steps, each after all that it needs, and otherwise in the order of the file.
func (p *Pipeline) Stages() []*Step {
	var out []*Step
	done := map[string]bool{}
	for len(out) < len(p.Steps) {
		before := len(out)
		for i := range p.Steps {
			s := &p.Steps[i]
			if !done[s.Name] && !slices.ContainsFunc(s.Needs, func(n string) bool { return !done[n] }) {
				done[s.Name] = true
				out = append(out, s)
				break // from the beginning: one that stands above may be ready now
			}
		}
		if len(out) == before {
			break // a circle, which Read refuses
		}
	}
	return out
}

// Before returns the names of all steps whose files some steps get, they themselves left out: what they need, what that needs, and so on.
// They are in the order of Stages.
func (p *Pipeline) Before(steps ...string) []string {
	wanted := map[string]bool{}
	stages := p.Stages()
	for i := len(stages) - 1; i >= 0; i-- { // who needs something stands behind it
		if s := stages[i]; wanted[s.Name] || slices.Contains(steps, s.Name) {
			for _, n := range s.Needs {
				wanted[n] = true
			}
		}
	}
	var out []string
	for _, s := range stages {
		if wanted[s.Name] && !slices.Contains(steps, s.Name) {
			out = append(out, s.Name)
		}
	}
	return out
}

// Last returns the names of the steps that no step needs, in the order of the file.
func (p *Pipeline) Last() []string {
	all := make([]string, len(p.Steps))
	for i, s := range p.Steps {
		all[i] = s.Name
	}
	return p.Ends(all)
}

// Ends returns those of some steps that no other of them needs, in their order.
func (p *Pipeline) Ends(steps []string) []string {
	needed := map[string]bool{}
	for _, s := range p.Steps {
		if slices.Contains(steps, s.Name) {
			for _, n := range s.Needs {
				needed[n] = true
			}
		}
	}
	var out []string
	for _, name := range steps {
		if !needed[name] {
			out = append(out, name)
		}
	}
	return out
}

// MadeOf returns the names of the steps whose files a package is made of.
func (p *Pipeline) MadeOf(k *Package) []string {
	if len(k.After) > 0 {
		return k.After
	}
	return p.Last()
}

// Label returns name and value of what a step requires: an agent has to have the label NAME with the value VALUE.
func Label(requires string) (name, value string) {
	name, value, found := strings.Cut(requires, "=")
	if !found {
		value = "true"
	}
	return name, value
}
