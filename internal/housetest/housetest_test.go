package housetest_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/housetest"
)

func TestTheHouseKeepsItsRules(t *testing.T) {
	t.Parallel()
	files, err := housetest.Load(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("found only %d Go files", len(files))
	}
	for _, rule := range housetest.Rules {
		t.Run(rule.Name, func(t *testing.T) {
			t.Parallel()
			if broken := rule.Check(files); len(broken) > 0 {
				t.Errorf("rule: %s\nbecause: %s\nbroken by:\n  %s", rule.Name, rule.Reason, strings.Join(broken, "\n  "))
			}
		})
	}
}

const comment = "// Package x is a package.\n"

// broken are sources that break each rule, with what has to be found in them. Files whose name begins with "good" break none.
var broken = map[string]struct {
	files map[string]string
	want  []string
}{
	"imports run one way": {
		files: map[string]string{
			"tasks/tasks.go":                     `package tasks; import _ "github.com/stint-run/stint/internal/sqldb"`,
			"tasks/a/a.go":                       `package a; import _ "github.com/stint-run/stint/tasks/b"`,
			"tasks/b/b.go":                       `package b; import _ "github.com/stint-run/stint/internal/store"`,
			"tasks/c/c.go":                       `package c; import _ "github.com/stint-run/stint/worker"`,
			"internal/store/s.go":                `package store; import _ "github.com/stint-run/stint/worker"`,
			"internal/sqldb/s.go":                `package sqldb; import _ "github.com/stint-run/stint/internal/queue"`,
			"scheduler/s.go":                     `package scheduler; import _ "github.com/stint-run/stint/worker"`,
			"cmd/internal/app/app.go":            `package app; import _ "github.com/stint-run/stint/cmd/internal/cli"`,
			"tasks/good/good.go":                 `package good; import (_ "github.com/stint-run/stint/tasks"; _ "github.com/stint-run/stint/internal/sqldb"; _ "github.com/stint-run/stint/tasks/good/parts")`,
			"tasks/all/good.go":                  `package all; import _ "github.com/stint-run/stint/tasks/a"`,
			"worker/good.go":                     `package worker; import (_ "github.com/stint-run/stint/internal/queue"; _ "github.com/stint-run/stint/tasks")`,
			"worker/good_test.go":                `package worker_test; import (_ "github.com/stint-run/stint/internal/redistest"; _ "github.com/stint-run/stint/worker")`,
			"internal/queue/q.go":                `package queue; import _ "github.com/stint-run/stint/internal/store"`,
			"internal/localredis/sub/good.go":    `package sub; import _ "github.com/stint-run/stint/internal/artifact"`,
			"cmd/internal/cli/good.go":           `package cli; import (_ "github.com/stint-run/stint/cmd/internal/app"; _ "github.com/stint-run/stint/cmd/internal/table")`,
			"tasks/taskstest/good.go":            `package taskstest; import _ "github.com/stint-run/stint/worker"`,
			"examples/good.go":                   `package main; import _ "github.com/stint-run/stint/worker"`,
			"internal/web/good.go":               `package web; import _ "github.com/stint-run/stint/internal/api"`,
			"internal/localredis/good_test.go":   `package localredis_test; import _ "github.com/stint-run/stint/internal/localredis"`,
			"tasks/migration/plans/good_test.go": `package plans; import _ "github.com/stint-run/stint/tasks/migration"`,
		},
		want: []string{
			"cmd/internal/app/app.go: cmd/internal/app imports cmd/internal/cli, which stands above or beside it",
			"internal/queue/q.go: internal/queue imports internal/store, which stands above or beside it",
			"internal/sqldb/s.go: internal/sqldb imports internal/queue, which stands above or beside it",
			"internal/store/s.go: internal/store imports worker, which stands above or beside it",
			"scheduler/s.go: scheduler imports worker, which stands above or beside it",
			"tasks/a/a.go: the family tasks/a imports the family tasks/b",
			"tasks/b/b.go: the family tasks/b imports internal/store; a family knows tasks and its own tools only",
			"tasks/c/c.go: tasks/c imports worker, which stands above or beside it",
			"tasks/tasks.go: tasks imports internal/sqldb, which stands above or beside it",
		},
	},
	"only internal/queue imports asynq": {
		files: map[string]string{
			"worker/w.go":            `package worker; import _ "github.com/hibiken/asynq"`,
			"internal/queue/good.go": `package queue; import _ "github.com/hibiken/asynq"`,
		},
		want: []string{"worker/w.go: imports github.com/hibiken/asynq"},
	},
	"Redis is spoken to by who owns keys in it": {
		files: map[string]string{
			"tasks/a/a.go":             `package a; import _ "github.com/redis/go-redis/v9"`,
			"tasks/a/good_test.go":     `package a; import _ "github.com/redis/go-redis/v9"`,
			"internal/sqldb/s.go":      `package sqldb; import _ "github.com/redis/go-redis/v9"`,
			"internal/idmap/good.go":   `package idmap; import _ "github.com/redis/go-redis/v9"`,
			"internal/store/good.go":   `package store; import _ "github.com/redis/go-redis/v9"`,
			"internal/redistest/a.go":  `package redistest; import _ "github.com/redis/go-redis/v9"`,
			"cmd/internal/app/good.go": `package app; import _ "github.com/redis/go-redis/v9"`,
		},
		want: []string{"internal/sqldb/s.go: imports github.com/redis/go-redis/v9", "tasks/a/a.go: imports github.com/redis/go-redis/v9"},
	},
	"only cmd imports config": {
		files: map[string]string{
			"worker/w.go":              `package worker; import _ "github.com/stint-run/stint/config"`,
			"cmd/internal/cli/good.go": `package cli; import _ "github.com/stint-run/stint/config"`,
		},
		want: []string{"worker/w.go: imports github.com/stint-run/stint/config"},
	},
	"only config reads the environment": {
		files: map[string]string{
			"worker/w.go":         "package worker\nimport sys \"os\"\nvar x = sys.Getenv(\"X\")",
			"worker/good.go":      "package worker\nimport \"os\"\nvar x = os.Getpid()",
			"worker/good_test.go": "package worker\nimport \"os\"\nvar x = os.Environ()",
			"config/good.go":      "package config\nimport \"os\"\nvar x = os.Environ()",
		},
		want: []string{"worker/w.go:3: uses os.Getenv"},
	},
	"test support is imported by tests only": {
		files: map[string]string{
			"worker/w.go":         `package worker; import _ "github.com/stint-run/stint/internal/redistest"`,
			"worker/good_test.go": `package worker; import _ "github.com/stint-run/stint/internal/redistest"`,
		},
		want: []string{"worker/w.go: imports internal/redistest"},
	},
	"a package is named by what it gives": {
		files: map[string]string{"internal/util/a.go": "package util", "internal/util/b.go": "package util", "good/types.go": "package good"},
		want:  []string{"internal/util: is named util"},
	},
	"every package has a comment": {
		files: map[string]string{"a/a.go": "package a", "a/b.go": "package a", "good/good.go": "package good", "good/doc.go": comment + "package good"},
		want:  []string{"a: no file has a comment before `package`"},
	},
	"every exported name has a comment": {
		files: map[string]string{
			"a/a.go":    "package a\nfunc F() {}\ntype T int\nfunc (t *T) M() {}\nconst C = 1\nvar (\n\tV int\n\tw int\n)\n",
			"a/good.go": "package a\n// G is.\nfunc G() {}\nfunc h() {}\ntype u int\nfunc (u) M() {}\n// All of them.\nconst (\n\tD = 1\n)\nconst E = 1 // is\n",
		},
		want: []string{"a/a.go:2: F", "a/a.go:3: T", "a/a.go:4: M", "a/a.go:5: C", "a/a.go:7: V"},
	},
	"no file is longer than 500 lines": {
		files: map[string]string{"a/a.go": "package a\n" + strings.Repeat("\n", 500), "a/good.go": "package a\n" + strings.Repeat("\n", 499)},
		want:  []string{"a/a.go: has 501 lines"},
	},
	"no function is longer than 90 lines": {
		files: map[string]string{
			"a/a.go":    "package a\nfunc f() {" + strings.Repeat("\n", 90) + "}",
			"a/good.go": "package a\nfunc g() {" + strings.Repeat("\n", 89) + "}",
		},
		want: []string{"a/a.go:2: f has 91 lines"},
	},
	"cmd/stint/main.go has at most 20 lines": {
		files: map[string]string{"cmd/stint/main.go": "package main\n" + strings.Repeat("\n", 20)},
		want:  []string{"cmd/stint/main.go: has 21 lines"},
	},
	"tests do not sleep": {
		files: map[string]string{
			"a/a_test.go": "package a\nimport \"time\"\nfunc f() { time.Sleep(1) }",
			"a/good.go":   "package a\nimport \"time\"\nfunc f() { time.Sleep(1) }",
		},
		want: []string{"a/a_test.go:3: sleeps"},
	},
}

func TestEachRuleFindsWhatItIsThereFor(t *testing.T) {
	t.Parallel()
	for _, rule := range housetest.Rules {
		t.Run(rule.Name, func(t *testing.T) {
			t.Parallel()
			c, ok := broken[rule.Name]
			if !ok {
				t.Fatal("no case; add one")
			}
			var files []housetest.File
			for name, source := range c.files {
				f, err := housetest.Parse(name, source)
				if err != nil {
					t.Fatal(err)
				}
				files = append(files, f)
			}
			rule.Allowed = nil
			if got := rule.Check(files); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}

func TestAnExceptionThatIsNotNeededIsReported(t *testing.T) {
	t.Parallel()
	rule := housetest.Rule{
		Breaks:  func([]housetest.File) []string { return []string{"a.go:1: bad", "b.go: bad"} },
		Allowed: map[string]string{"a.go": "why", "c.go": "why"},
	}
	want := []string{"b.go: bad", "c.go: is on the list of exceptions and keeps the rule; take it off"}
	if got := rule.Check(nil); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
