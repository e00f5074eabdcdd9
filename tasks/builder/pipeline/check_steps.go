package pipeline

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/stamp"
)

// Reserved are names that no step has: they are what the family itself does around the steps.
var Reserved = []string{"checkout", "package", "publish", "tag", "release"}

func (c *checker) steps() {
	steps := c.p.Steps
	switch {
	case len(steps) == 0:
		c.add("steps", "add steps:, each with a name: and what to run:", "there is no step")
	case len(steps) > MaxSteps:
		c.add("steps", "let a step run several commands, or make several pipelines", "%d steps are too many: %d is the most", len(steps), MaxSteps)
		return // what follows is a line for each of them
	}
	seen := map[string]bool{}
	for i := range steps {
		s, at := &steps[i], stepPath(i)
		c.name(at+".name", s.Name, "a step")
		switch {
		case seen[s.Name] && s.Name != "":
			c.add(at+".name", "give it another name", "a step %s stands above", quoted(s.Name))
		case slices.Contains(Reserved, s.Name):
			c.add(at+".name", "give it another name, such as "+s.Name+"-files; these are taken: "+list(Reserved), "%s is what stint itself does", quoted(s.Name))
		}
		seen[s.Name] = true
		c.step(s, at)
	}
	if c.needs() {
		c.circles()
	}
}

func (c *checker) step(s *Step, at string) {
	if len(s.Commands) == 0 {
		c.add(at+".run", "add run: or script:", "the step does nothing")
	}
	for i, command := range s.Commands {
		c.command(at, i, command, len(s.Commands))
	}
	if s.Dir != "" {
		c.path(at+".dir", s.Dir)
	}
	c.requires(s, at+".requires")
	c.environment(at+".environment", s.Environment, s.Version)
	c.secrets(s, at+".secrets")
	c.stamp(s, at)
	c.globs(at+".produces", s.Produces)
	c.globs(at+".junit", s.JUnit)
	c.globs(at+".cache.inputs", s.Cache.Inputs)
	for i, g := range s.Produces {
		if by := c.excluded(g); by != "" {
			c.add(index(at+".produces", i), "exclude: "+by+" leaves it behind: make that narrower", "%s does not travel to the steps and packages after it", quoted(g))
		}
	}
	var known []string
	for _, t := range c.p.Tools {
		known = append(known, t.Name)
	}
	for i, t := range s.Tools {
		if !slices.Contains(known, t) {
			c.add(index(at+".tools", i), or(c.near(t, known), "list it below tools:, with version, url and sha256"), "there is no tool %s", quoted(t))
		}
	}
	c.once(at+".tools", s.Tools)
	if s.Timeout < time.Second || s.Timeout > maxTimeout {
		c.add(at+".timeout", "from 1s to 7d", "%s is out of range", s.Timeout)
	}
	if s.Retries < 0 || s.Retries > maxRetries {
		c.add(at+".retries", "from 0 to 10", "%d is out of range", s.Retries)
	}
	c.atLeast(at+".limits.memory", s.Limits.Memory, 0)
	c.atLeast(at+".limits.cpu", int64(s.Limits.CPU), 0)
	c.atLeast(at+".limits.disk", s.Limits.Disk, 0)
	c.atLeast(at+".limits.processes", int64(s.Limits.Processes), 0)
	c.atLeast(at+".limits.log", s.Limits.Log, 0)
}

var shebang = regexp.MustCompile(`^#!\s*(\S+)(?:\s+(\S+))?`)

// command checks one of a step's commands.
func (c *checker) command(step string, i int, command Command, of int) {
	at := index(step+".run", i)
	if command.Args != nil && command.Script != "" {
		c.add(at, "write one of them", "is a command and a script")
		return
	}
	if command.Args != nil {
		c.arguments(at, command.Args)
		return
	}
	if of == 1 {
		at = step + ".script"
	}
	if strings.TrimSpace(command.Script) == "" {
		c.add(at, "write its lines below script: |", "the command is empty")
	}
	if strings.Contains(command.Script, "\x00") {
		c.add(at, "", "has a zero byte in it")
	}
	if m := shebang.FindStringSubmatch(command.Script); m != nil && !strings.HasSuffix(m[1], "/sh") && (!strings.HasSuffix(m[1], "/env") || m[2] != "sh") {
		c.add(at, "put it into a file of the repository, and name that below run:", "is run by sh, whatever its line %s says", quoted(m[0]))
	}
}

func (c *checker) requires(s *Step, at string) {
	values := map[string]string{}
	for i, r := range s.Requires {
		name, value := Label(r)
		was, again := values[name]
		switch {
		case !labelForm.MatchString(r):
			c.add(index(at, i), "write NAME or NAME=VALUE with A-Z, a-z, 0-9, _ . and -", "%s is no label", quoted(r))
		case again && was == value:
			c.add(index(at, i), "take one of them away", "%s is listed twice", quoted(r))
		case again:
			c.add(index(at, i), "take one of them away", "no agent has %s=%s and %s=%s", name, was, name, value)
		}
		values[name] = value
	}
}

func (c *checker) secrets(s *Step, at string) {
	for i, name := range s.Secrets {
		if !c.variable(index(at, i), name) {
			continue
		}
		for _, variables := range []map[string]string{s.Environment, c.p.Environment} {
			for other := range variables {
				if strings.EqualFold(name, other) {
					c.add(index(at, i), "take one of them away, or give it another name", "%s is a variable of the environment, too", name)
				}
			}
		}
	}
	c.once(at, s.Secrets)
}

func (c *checker) stamp(s *Step, at string) {
	if len(s.Stamp) > 0 && !s.Version {
		c.add(at+".version", "take it away: stamp needs the version", "is false, and files are stamped with it")
	}
	for i, text := range s.Stamp {
		here := index(at+".stamp", i)
		if !c.expression(here, text) {
			continue
		}
		target, err := stamp.Parse(text)
		if err != nil {
			c.add(here, tasks.HintOf(err), "%s", err)
			continue
		}
		c.glob(here, target.Path)
	}
	c.once(at+".stamp", s.Stamp)
}

// needs checks that the steps that are asked for are there, and reports whether they are.
func (c *checker) needs() bool {
	before := len(c.problems)
	names := c.stepNames()
	for i, s := range c.p.Steps {
		at := stepPath(i) + ".needs"
		for j, n := range s.Needs {
			switch {
			case n == s.Name:
				c.add(index(at, j), "take it away", "the step needs itself")
			case !slices.Contains(names, n):
				c.add(index(at, j), c.noSuchStep(n, names), "there is no step %s", quoted(n))
			}
		}
		c.once(at, s.Needs)
	}
	return len(c.problems) == before
}

func (c *checker) stepNames() []string {
	var names []string
	for _, s := range c.p.Steps {
		if s.Name != "" {
			names = append(names, s.Name)
		}
	}
	return names
}

func (c *checker) noSuchStep(name string, names []string) string {
	if slices.Contains(Reserved, name) {
		return "stint does it by itself, and no step has to wait for it"
	}
	return or(c.near(name, names), "there are "+list(names))
}

// circles finds the first steps that wait for each other, and names the way round.
func (c *checker) circles() {
	needs := map[string][]string{}
	place := map[string]int{}
	for i, s := range c.p.Steps {
		needs[s.Name], place[s.Name] = s.Needs, i
	}
	done := map[string]bool{}
	var way []string
	var walk func(name string) bool
	walk = func(name string) bool {
		if from := slices.Index(way, name); from >= 0 {
			first := way[from]
			c.add(stepPath(place[first])+".needs", "take one of them away; a step without needs: needs the one above it, and with needs: [] none",
				"the steps wait for each other: %s", strings.Join(append(way[from:], name), " needs "))
			return true
		}
		if done[name] {
			return false
		}
		way = append(way, name)
		if slices.ContainsFunc(needs[name], walk) {
			return true
		}
		way = way[:len(way)-1]
		done[name] = true
		return false
	}
	for _, s := range c.p.Steps {
		if walk(s.Name) {
			return
		}
	}
}
