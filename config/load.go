package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// DefaultFile is the file that is read when none is named, if it is there.
const DefaultFile = "stint.yaml"

// Options say what to read.
type Options struct {
	// File is the path of the configuration; "" means STINT_CONFIG, else DefaultFile if there is one. A file that is
	// named has to be there.
	File string
	// Environment chooses the file beside File that is laid over it: stint.yaml and staging make stint.staging.yaml, which
	// has to be there. "" means STINT_ENVIRONMENT, else none.
	Environment string
	// Flags are bound by name: --worker-concurrency sets worker.concurrency. Flags that were not given change nothing, and
	// those that no key has are somebody else's. nil means none.
	Flags *pflag.FlagSet
	// FlagKeys binds flags of other names: {"concurrency": "worker.concurrency"}.
	FlagKeys map[string]string
	// Env is the process environment; nil means an empty one. main gives OSEnv().
	Env Env
}

var environmentName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

// Load reads all layers. The error is an *Error with all problems at once; the Origins are there even then, for the
// values that could be read. The Config is nil when there is an error.
func Load(o Options) (*Config, *Origins, error) {
	r := &reader{env: o.Env, tokens: map[string]string{}}
	var documents []document
	for _, path := range r.files(o) {
		if d, ok := r.parse(path); ok {
			r.readTokens(d)
			documents = append(documents, d)
		}
	}
	layers := []layer{r.standard()}
	items := map[string][]item{}
	for _, d := range documents {
		layers = append(layers, r.read(d))
	}
	for _, l := range layers {
		for _, list := range namedLists {
			items[list.key] = mergeItems(items[list.key], l.items[list.key])
		}
	}
	envLayer := r.environment(items)
	for _, list := range namedLists {
		items[list.key] = mergeItems(items[list.key], envLayer.items[list.key])
	}
	layers = append(layers, envLayer)

	c, origins := merge(Default(o.Env), layers, r.flags(o))
	for _, list := range namedLists {
		origins.list = append(origins.list, list.build(c, items[list.key])...)
	}
	for _, p := range c.problems() {
		p.Place = placeOf(p.Key, origins, items)
		r.problems = append(r.problems, p)
	}
	origins.warnings = r.warnings
	if err := asError(inOrder(r.problems)); err != nil {
		return nil, origins, err
	}
	return c, origins, nil
}

// merge lets Viper lay the layers over each other, and reads the leaves back.
func merge(defaults *Config, layers []layer, flags layer) (*Config, *Origins) {
	v := viper.New()
	from := reflect.ValueOf(defaults).Elem()
	for _, f := range fields {
		if f.isList() {
			continue // Load builds it
		}
		v.SetDefault(f.key, from.FieldByIndex(f.index).Interface())
	}
	for _, l := range layers {
		nested := map[string]any{}
		for key, s := range l.settings {
			put(nested, strings.Split(key, "."), s.value)
		}
		if err := v.MergeConfigMap(nested); err != nil {
			panic(fmt.Sprintf("config: merge maps of known types: %v", err)) // no input reaches this
		}
	}
	for key, s := range flags.settings {
		v.Set(key, s.value)
	}

	c, origins := &Config{}, &Origins{}
	to := reflect.ValueOf(c).Elem()
	for _, f := range fields {
		if f.isList() {
			continue
		}
		value := v.Get(f.key)
		to.FieldByIndex(f.index).Set(reflect.ValueOf(value))
		origin := Origin{Key: f.key, Value: show(value)}
		for _, l := range append(slices.Clone(layers), flags) {
			if s, ok := l.settings[f.key]; ok {
				origin.Place, origin.Ref = s.place, s.ref
			}
		}
		origins.list = append(origins.list, origin)
	}
	return c, origins
}

func put(m map[string]any, path []string, value any) {
	for _, word := range path[:len(path)-1] {
		next, ok := m[word].(map[string]any)
		if !ok {
			next = map[string]any{}
			m[word] = next
		}
		m = next
	}
	m[path[len(path)-1]] = value
}

// placeOf returns where the value of a key was set; of an item without that part, where it is named.
func placeOf(key string, origins *Origins, items map[string][]item) Place {
	if o, ok := origins.Of(key); ok {
		return o.Place
	}
	var named item
	for list, its := range items {
		rest, of := strings.CutPrefix(key, list+".")
		for _, it := range its {
			if of && strings.HasPrefix(rest, it.name+".") && len(it.name) > len(named.name) { // a name may have dots in it
				named = it
			}
		}
	}
	return named.place
}

// inOrder sorts problems by file and line; the files stay in the order in which they were read.
func inOrder(problems []Problem) []Problem {
	var files []string
	for _, p := range problems {
		if !slices.Contains(files, p.Place.File) {
			files = append(files, p.Place.File)
		}
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if a.Place.File != b.Place.File {
			return slices.Index(files, a.Place.File) - slices.Index(files, b.Place.File)
		}
		if a.Place.Line != b.Place.Line {
			return a.Place.Line - b.Place.Line
		}
		return a.Place.Column - b.Place.Column
	})
	return problems
}

// files returns the paths to read, in order.
func (r *reader) files(o Options) []string {
	file, environment, source := o.File, o.Environment, "flag --environment"
	named := file != ""
	if file == "" {
		file = r.env.Get(envConfig)
		named = file != ""
	}
	if environment == "" {
		environment, source = r.env.Get(envEnvironment), "env "+envEnvironment
	}
	if file == "" {
		file = DefaultFile
	}
	var out []string
	if _, err := os.Stat(file); named || !errors.Is(err, fs.ErrNotExist) {
		out = append(out, file)
	}
	if environment == "" {
		return out
	}
	at := Place{Source: source}
	if !environmentName.MatchString(environment) {
		r.problem(at, "", "use letters, digits, _ and -", "%q is no name for an environment", environment)
		return out
	}
	ext := filepath.Ext(file)
	base := strings.TrimSuffix(file, ext)
	path := base + "." + environment + ext
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		// A mistyped name must not quietly mean "as everywhere".
		hint := "make it, or leave the environment away"
		if others, err := filepath.Glob(base + ".*" + ext); err == nil && len(others) > 0 {
			hint = "there is " + strings.Join(others, ", ")
		}
		r.problem(at, "", hint, "there is no %s", path)
		return out
	}
	return append(out, path)
}

// standard reads the variables that OpenTelemetry has for all programs. They hold where nobody has said anything to stint.
func (r *reader) standard() layer {
	l := newLayer()
	for name, key := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "telemetry.endpoint", "OTEL_EXPORTER_OTLP_PROTOCOL": "telemetry.protocol", "OTEL_SERVICE_NAME": "telemetry.service",
	} {
		text := r.env.Get(name)
		if text == "http/protobuf" && key == "telemetry.protocol" {
			text = "http"
		}
		if text == "" {
			continue
		}
		at := Place{Source: "env " + name}
		if key == "telemetry.protocol" && text != "grpc" && text != "http" {
			r.warn(at, key, "set telemetry.protocol to grpc or http", "the protocol %q is not spoken here", text)
			continue
		}
		f, _ := fieldOf(key)
		if value, err := f.parse(text); err == nil {
			l.settings[key] = setting{value, at, ""}
		}
	}
	return l
}

// environment reads the variables. Empty ones count as not set.
func (r *reader) environment(known map[string][]item) layer {
	l := newLayer()
	used := map[string]bool{envConfig: true, envEnvironment: true}
	for _, f := range fields {
		name := envName(f.key)
		if f.isList() {
			continue
		}
		used[name] = true
		text := r.env.Get(name)
		if text == "" {
			continue
		}
		at := Place{Source: "env " + name}
		if value, ref, ok := r.text(at, f, text); ok {
			l.settings[f.key] = setting{value, at, ref}
		}
	}
	for _, list := range namedLists {
		l.items[list.key] = r.itemsFromEnv(list, known[list.key], used)
	}
	names := make([]string, 0, len(used))
	for name := range used {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, entry := range r.env {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || used[name] || orchestrated.MatchString(name) {
			continue
		}
		hint := "unset it"
		if meant := nearest(name, names); meant != "" {
			hint = fmt.Sprintf("did you mean %s?", meant)
		}
		r.warn(Place{Source: "env " + name}, "", hint, "no key has this variable")
	}
	return l
}

// flags reads the flags that were given.
func (r *reader) flags(o Options) layer {
	l := newLayer()
	if o.Flags == nil {
		return l
	}
	dashed := map[string]string{}
	for _, key := range Keys() {
		dashed[strings.NewReplacer(".", "-", "_", "-").Replace(key)] = key
	}
	o.Flags.Visit(func(flag *pflag.Flag) {
		key, ok := o.FlagKeys[flag.Name]
		if !ok {
			key, ok = dashed[flag.Name]
		}
		f, known := fieldOf(key)
		if !ok || !known || f.isList() {
			return
		}
		at := Place{Source: "flag --" + flag.Name}
		text := flag.Value.String()
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			if f.typ == listType {
				l.settings[key] = setting{list.GetSlice(), at, ""}
				return
			}
			text = strings.Join(list.GetSlice(), ",")
		}
		if value, ref, ok := r.text(at, f, text); ok {
			l.settings[key] = setting{value, at, ref}
		}
	})
	return l
}
