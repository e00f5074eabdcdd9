package sqldb

import "slices"

// SortTables returns the tables with parents before children, as far as foreign keys allow it. It is stable: tables that
// depend on each other in a circle, and all between which there is nothing to decide, keep their order, apart from
// parents that are pulled before their first child. A table that refers to itself is its own affair.
func SortTables(tables []Table) []Table {
	type name struct{ schema, table string }
	at := make(map[name]int, len(tables))
	for i, t := range tables {
		at[name{t.Schema, t.Name}] = i
	}
	parents := make([][]int, len(tables))
	for i, t := range tables {
		for _, fk := range t.ForeignKeys {
			if p, ok := at[name{fk.RefSchema, fk.RefTable}]; ok && p != i {
				parents[i] = append(parents[i], p)
			}
		}
		slices.Sort(parents[i])
	}
	sorted := make([]Table, 0, len(tables))
	for _, circle := range circles(parents) {
		slices.Sort(circle)
		for _, i := range circle {
			sorted = append(sorted, tables[i])
		}
	}
	return sorted
}

// circles groups the nodes of a graph such that two are in one group when each can be reached from the other, and returns
// the groups such that all edges lead to earlier ones (Tarjan's strongly connected components). It keeps its own stack,
// as a chain of references may be as long as there are tables.
func circles(edges [][]int) [][]int {
	const unseen = -1
	index := make([]int, len(edges)) // when a node was first seen
	low := make([]int, len(edges))   // the earliest node of its circle known so far
	onStack := make([]bool, len(edges))
	for i := range index {
		index[i] = unseen
	}
	var groups [][]int
	var stack []int
	seen := 0
	type frame struct{ node, edge int }
	for root := range edges {
		if index[root] != unseen {
			continue
		}
		frames := []frame{{root, 0}}
		for len(frames) > 0 {
			f := &frames[len(frames)-1]
			n := f.node
			if f.edge == 0 {
				index[n], low[n] = seen, seen
				seen++
				stack = append(stack, n)
				onStack[n] = true
			}
			descended := false
			for f.edge < len(edges[n]) {
				to := edges[n][f.edge]
				f.edge++
				if index[to] == unseen {
					frames = append(frames, frame{to, 0})
					descended = true
					break
				}
				if onStack[to] {
					low[n] = min(low[n], index[to])
				}
			}
			if descended {
				continue
			}
			frames = frames[:len(frames)-1]
			if len(frames) > 0 {
				above := frames[len(frames)-1].node
				low[above] = min(low[above], low[n])
			}
			if low[n] == index[n] {
				at := slices.Index(stack, n)
				group := slices.Clone(stack[at:])
				stack = stack[:at]
				for _, member := range group {
					onStack[member] = false
				}
				groups = append(groups, group)
			}
		}
	}
	return groups
}
