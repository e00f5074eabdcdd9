// Package enginemodel is a model of the engine that can be explored whole: jobs, stages and steps as the store's scripts move
// them, tasks on a queue that delivers at least once, workers, a scheduler, whoever submits, and the ledger of a target, with the
// faults that all of them must bear. It is plain Go without Redis. docs/model.md says what is modelled and what is not.
//
//	process     worker 0..n        scheduler       client
//	            claim begin        sweep find      create pause resume
//	            commit save end    revoke          cancel retry restart
//	               |    |             |               |
//	               v    v             v               v
//	layer       target  store --(what it hands out, by a second action)--> queue
//
// A State is a value. Model.Edges lists what may happen next in it: each action is atomic, and a crash may come between any two.
// What a script answers, and what it hands out, is in the edge: so the same function that is explored is the oracle for the real
// scripts (internal/store has that test).
//
// Where the engine's choice depends on times, the model has one edge for each choice.
package enginemodel
