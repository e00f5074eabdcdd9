// Command sqlrun runs the SQL statements of its arguments in the SQLite file that is its first one, and prints how many rows
// they have written. It is for the rig: as a process of its own it makes large sources fast, race detector or not.
package main

import (
	"database/sql"
	"fmt"
	"os"

	_ "modernc.org/sqlite" // sources are SQLite files
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: sqlrun FILE STATEMENT...")
		os.Exit(2)
	}
	n, err := run(os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(n)
}

func run(file string, statements []string) (rows int64, err error) {
	db, err := sql.Open("sqlite", file+"?_pragma=journal_mode(off)&_pragma=synchronous(off)")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range statements {
		r, err := db.Exec(s)
		if err != nil {
			return 0, err
		}
		n, err := r.RowsAffected()
		if err != nil {
			return 0, err
		}
		rows += n
	}
	return rows, nil
}
