package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"github.com/stint-run/stint/tasks/migration"
)

func (c *command) plan() *cobra.Command {
	m := &move{}
	cmd := &cobra.Command{
		Use:   "plan --from SOURCE --to TARGET",
		Short: "Print what migrate would do, as YAML",
		Long: `Reads the source's schema and prints the plan that migrate would follow: tables in the order of their foreign keys, what
walks each of them, the type of each column in the target, and what is left out. Reads the target's schema too, when it is
there, and says where a table differs. Writes nothing.`,
		Example: "  stint plan --from sqlite:legacy.db --to postgres://me@localhost/new",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.load(cmd); err != nil {
				return err
			}
			from, to, err := c.both(m)
			if err != nil {
				return err
			}
			p, err := c.draft(cmd.Context(), from, to, m.tables)
			if err != nil {
				return err
			}
			v := planView(p, from, to)
			return c.print(v, func(w io.Writer) {
				e := yaml.NewEncoder(w)
				e.SetIndent(2)
				_ = e.Encode(v)
			})
		},
	}
	m.flags(cmd)
	return cmd
}

// planFile is a plan as people read it.
type planFile struct {
	Name   string      `yaml:"name" json:"name"`
	Source string      `yaml:"source" json:"source"`
	Target string      `yaml:"target" json:"target"`
	Stages []planStage `yaml:"stages" json:"stages"`
	Notes  []string    `yaml:"notes,omitempty" json:"notes,omitempty"`
}

type planStage struct {
	Name string       `yaml:"name" json:"name"`
	From planFrom     `yaml:"from" json:"from"`
	Rows int64        `yaml:"rows" json:"rows"`
	To   planTo       `yaml:"to" json:"to"`
	Map  []planColumn `yaml:"columns" json:"columns"`
}

type planFrom struct {
	Table string   `yaml:"table" json:"table"`
	Key   []string `yaml:"key,flow" json:"key"`
	Walk  string   `yaml:"walk" json:"walk"`
}

type planTo struct {
	Table string   `yaml:"table" json:"table"`
	Mode  string   `yaml:"mode" json:"mode"`
	Key   []string `yaml:"key,flow,omitempty" json:"key,omitempty"`
}

type planColumn struct {
	Name string `yaml:"name" json:"name"`
	From string `yaml:"from" json:"from"`
	To   string `yaml:"to" json:"to"`
	Null bool   `yaml:"null" json:"null"`
}

func planView(p *migration.Plan, from, to database) planFile {
	v := planFile{Name: "migration", Source: from.at.Redacted(), Target: to.at.Redacted()}
	for _, t := range p.Tables {
		walk := t.Walk()
		s := planStage{Name: t.Source.FullName(), Rows: t.Source.Rows, From: planFrom{Table: t.Source.FullName(), Key: walk.Columns, Walk: string(walk.Kind)},
			To: planTo{Table: t.Target.FullName(), Mode: "insert"}}
		if t.Target.PrimaryKey != nil {
			s.To.Key = t.Target.PrimaryKey.Columns
		}
		for i, col := range t.Source.Columns {
			target := t.Target.Columns[i]
			s.Map = append(s.Map, planColumn{Name: target.Name, From: col.Type, To: target.Type, Null: !target.NotNull})
		}
		v.Stages = append(v.Stages, s)
	}
	for _, f := range p.Findings() {
		v.Notes = append(v.Notes, findingText(f))
	}
	return v
}

func writePlan(w io.Writer, p *migration.Plan, from, to database) {
	fmt.Fprintf(w, "from %s\nto   %s\n\n", from.at, to.at)
	t := newTable("TABLE", "ROWS", "COLUMNS", "WALKED BY", "INDEXES", "FOREIGN KEYS")
	for _, x := range p.Tables {
		walk := x.Walk()
		by := string(walk.Kind)
		if len(walk.Columns) > 0 {
			by = strings.Join(walk.Columns, ", ")
		}
		t.row(x.Source.FullName(), thousands(x.Source.Rows), fmt.Sprint(len(x.Source.Columns)), by,
			fmt.Sprint(len(x.Target.Indexes)+len(x.Target.Uniques)), fmt.Sprint(len(x.Target.ForeignKeys)))
	}
	t.write(w)
	for _, f := range p.Findings() {
		fmt.Fprintf(w, "note: %s\n", findingText(f))
	}
	fmt.Fprintln(w, "\nNothing was written.")
}
