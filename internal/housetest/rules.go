package housetest

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// Limits of size, in lines.
const (
	MaxFileLines     = 500
	MaxFunctionLines = 90
	MaxMainLines     = 20
)

// Rules are the rules of this house. A new one is a line here and a case in the test.
var Rules = []Rule{
	{
		Name:   "imports run one way",
		Reason: "who changes a package must see from its folder alone what can break; cmd > worker, scheduler, api > queue, store > tasks",
		Breaks: importsBack,
	},
	{
		Name:   "only internal/queue imports asynq",
		Reason: "asynq is delivery only; its traps are known, and fenced in, in one place (bench runs it bare, as a peer)",
		Breaks: func(files []File) []string {
			return importers(files, "github.com/hibiken/asynq", "internal/queue", "bench")
		},
	},
	{
		Name:   "Redis is spoken to by who owns keys in it",
		Reason: "each key has one home: jobs in internal/store, tasks in internal/queue, ids of references in internal/idmap, alerts in internal/alertstore; a family that asked Redis by itself would believe what only the target's ledger proves",
		Breaks: redisSpeakers,
	},
	{
		Name:   "only cmd imports config",
		Reason: "a package that takes small Options can be used, and tested, without files and variables",
		Breaks: func(files []File) []string { return importers(files, Module+"/config", "cmd", "config") },
	},
	{
		Name:   "only config reads the environment",
		Reason: "what can change the behaviour of a process is found in one place, and shown by `stint config show --origin`",
		Breaks: environmentReaders,
	},
	{
		Name:   "test support is imported by tests only",
		Reason: "it pulls package testing into the binary",
		Breaks: testSupportInProduction,
	},
	{
		Name:   "a package is named by what it gives",
		Reason: "util, common, base, types and helpers say nothing, and so everything ends up in them",
		Breaks: emptyNames,
	},
	{
		Name:   "every package has a comment",
		Reason: "a newcomer reads `go doc` first",
		Breaks: packagesWithoutComment,
	},
	{
		Name:   "every exported name has a comment",
		Reason: "units, zero value, errors and what a crash does are nowhere else",
		Breaks: namesWithoutComment,
	},
	{
		Name:   fmt.Sprintf("no file is longer than %d lines", MaxFileLines),
		Reason: "one file, one noun; a longer one has two",
		Breaks: func(files []File) []string {
			var out []string
			for _, f := range files {
				if f.Lines > MaxFileLines {
					out = append(out, fmt.Sprintf("%s: has %d lines", f.Path, f.Lines))
				}
			}
			return out
		},
	},
	{
		Name:   fmt.Sprintf("no function is longer than %d lines", MaxFunctionLines),
		Reason: "what does not fit on a page or two is not read as a whole; tests may be longer, for their tables",
		Breaks: longFunctions,
	},
	{
		Name:   fmt.Sprintf("cmd/stint/main.go has at most %d lines", MaxMainLines),
		Reason: "the process is a value that tests can start; what is in main they cannot reach",
		Breaks: func(files []File) []string {
			var out []string
			for _, f := range files {
				if f.Path == "cmd/stint/main.go" && f.Lines > MaxMainLines {
					out = append(out, fmt.Sprintf("%s: has %d lines", f.Path, f.Lines))
				}
			}
			return out
		},
	},
	{
		Name:   "tests do not sleep",
		Reason: "a sleep is too long on a fast machine and too short on a busy one: wait for the signal, or poll with a ticker and a deadline",
		Breaks: sleepingTests,
		Allowed: map[string]string{
			"internal/pgtest/pgtest_test.go": "polls, with a deadline, for the end of a process that is not its child",
		},
	},
}

// testSupport are the packages that only tests use.
var testSupport = []string{"cmd/internal/rig", "internal/enginemodel", "internal/enginetest", "internal/redistest", "internal/pgtest", "internal/mariadbtest", "internal/housetest", "tasks/taskstest", "internal/telemetry/telemetrytest", "internal/httpsink/apitest", "internal/s3test", "internal/firebirdtest", "internal/datasets/datasetstest", "internal/notify/notifytest", "internal/prometheustest"}

func isTestSupport(pkg string) bool {
	return slices.ContainsFunc(testSupport, func(s string) bool { return inside(pkg, s) })
}

// height is how far up a package stands: it imports packages that stand lower, and those of its own height only where
// sameHeight says so. Test support stands anywhere.
func height(pkg string) int {
	switch {
	case pkg == "tasks" || pkg == "config" || pkg == "docs": // they import nothing of stint
		return 0
	case inside(pkg, "client/wire"): // what store and API write and the client reads
		return 4
	case inside(pkg, "client"): // other programs import it: it knows the wire and nothing of the engine
		return 6
	case inside(pkg, "internal/store") || inside(pkg, "internal/queue"):
		return 20
	case pkg == "tasks/all":
		return 40
	case inside(pkg, "tasks"): // a family
		return 30
	case inside(pkg, "worker") || inside(pkg, "scheduler") || inside(pkg, "internal/api"):
		return 50
	case inside(pkg, "internal/web"):
		return 60
	case inside(pkg, "cmd/internal/app"):
		return 70
	case inside(pkg, "cmd/internal"):
		return 80
	case inside(pkg, "cmd"):
		return 90
	case inside(pkg, "internal"): // what stands on its own: sqldb, artifact, localredis, ...
		return 10
	default: // the root, examples, tools: whatever they need
		return 100
	}
}

// room is the part of the tree within which imports are free: a package and what lies below it, a family, the small
// packages of internal among themselves.
func room(pkg string) string {
	switch h := height(pkg); {
	case h == 10:
		return "internal"
	case h == 100 || h == 0:
		return pkg
	case h == 80:
		return "cmd/internal"
	}
	parts := strings.Split(pkg, "/")
	return path.Join(parts[:min(2, len(parts))]...)
}

// importsBack finds imports that do not go down.
func importsBack(files []File) []string {
	var out []string
	for _, f := range files {
		from := f.Package()
		if isTestSupport(from) {
			continue
		}
		for _, i := range f.Imports() {
			to, our := ours(i)
			if !our || isTestSupport(to) {
				continue
			}
			switch {
			case room(from) == room(to) && height(from) == height(to):
			case height(to) == 30 && height(from) == 30:
				out = append(out, fmt.Sprintf("%s: the family %s imports the family %s", f.Path, from, to))
			case height(from) == 30 && height(to) == 20:
				out = append(out, fmt.Sprintf("%s: the family %s imports %s; a family knows tasks and its own tools only", f.Path, from, to))
			case f.IsTest() && from == to: // the external test of the package
			case f.IsTest() && from == "worker" && to == "scheduler": // an engine is both, and the worker's tests need a whole one
			case height(to) >= height(from):
				out = append(out, fmt.Sprintf("%s: %s imports %s, which stands above or beside it", f.Path, from, to))
			}
		}
	}
	return out
}

// importers finds who imports a package, or one below it, outside of some folders.
func importers(files []File, importPath string, folders ...string) []string {
	var out []string
	for _, f := range files {
		if slices.ContainsFunc(folders, func(folder string) bool { return inside(f.Package(), folder) }) {
			continue
		}
		for _, i := range f.Imports() {
			if inside(i, importPath) {
				out = append(out, fmt.Sprintf("%s: imports %s", f.Path, i))
			}
		}
	}
	return out
}

// redisOwners are the packages that have keys in Redis, and redisCarriers those that run one, say where it is, or hand a client on.
var (
	redisOwners   = []string{"internal/store", "internal/queue", "internal/idmap", "internal/alertstore"}
	redisCarriers = []string{"internal/localredis", "config", "cmd", "worker", "scheduler", "internal/api", "bench"}
)

func redisSpeakers(files []File) []string {
	files = slices.DeleteFunc(slices.Clone(files), func(f File) bool { return f.IsTest() || isTestSupport(f.Package()) })
	return importers(files, "github.com/redis/go-redis", append(slices.Clone(redisOwners), redisCarriers...)...)
}

// environmentFunctions are those of package os that look at the environment, some of them in passing.
var environmentFunctions = []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv", "UserHomeDir", "UserConfigDir", "UserCacheDir"}

func environmentReaders(files []File) []string {
	var out []string
	for _, f := range files {
		if f.IsTest() || isTestSupport(f.Package()) || inside(f.Package(), "config") {
			continue
		}
		for _, name := range environmentFunctions {
			for _, call := range uses(f, "os", name) {
				out = append(out, fmt.Sprintf("%s: uses os.%s", call, name))
			}
		}
	}
	return out
}

func sleepingTests(files []File) []string {
	var out []string
	for _, f := range files {
		if !f.IsTest() {
			continue
		}
		for _, call := range uses(f, "time", "Sleep") {
			out = append(out, call+": sleeps")
		}
	}
	return out
}

// uses returns where a file uses a name of an imported package, under whatever name it imported it.
func uses(f File, pkg, name string) []string {
	local := ""
	for _, i := range f.AST.Imports {
		if i.Path.Value == `"`+pkg+`"` {
			local = path.Base(pkg)
			if i.Name != nil {
				local = i.Name.Name
			}
		}
	}
	if local == "" {
		return nil
	}
	var out []string
	ast.Inspect(f.AST, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == name {
			if id, ok := s.X.(*ast.Ident); ok && id.Name == local {
				out = append(out, f.Place(s))
			}
		}
		return true
	})
	return out
}

func testSupportInProduction(files []File) []string {
	var out []string
	for _, f := range files {
		if f.IsTest() || isTestSupport(f.Package()) {
			continue
		}
		for _, i := range f.Imports() {
			if to, our := ours(i); our && isTestSupport(to) {
				out = append(out, fmt.Sprintf("%s: imports %s", f.Path, to))
			}
		}
	}
	return out
}

func emptyNames(files []File) []string {
	empty := []string{"util", "utils", "common", "base", "types", "helper", "helpers", "misc"}
	var out []string
	for _, f := range files {
		for word := range strings.SplitSeq(f.Package()+"/"+strings.TrimSuffix(f.AST.Name.Name, "_test"), "/") {
			if found := fmt.Sprintf("%s: is named %s", f.Package(), word); slices.Contains(empty, word) && !slices.Contains(out, found) {
				out = append(out, found)
			}
		}
	}
	return out
}
