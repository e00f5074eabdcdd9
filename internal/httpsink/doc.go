// Package httpsink delivers records to an HTTP API, each exactly once in effect, as far as the API lets that be.
//
// A request that was cut off, by a timeout, a broken connection or the death of the worker, has happened or has not: nobody knows. So
// something has to be the same when it is repeated, and there are three things that APIs offer:
//
//	the API knows             what is repeated                             what the plan says
//	requests, by a key        the same bytes under the same key            idempotency_header (the default)
//	records, by a lookup      the lookup first, and then only what         lookup: {path, id}
//	                          is not there
//	records, by their path    the same PUT                                 method: PUT, path: /v1/customers/{{ .id }}
//
// An API that offers none of them is refused by Check.
//
// # What the caller does
//
// This package keeps nothing. Its caller writes down, before a Deliver, that these records may be sent; it makes the answers durable when
// done is called; and after a crash it delivers what has no answer again, with Maybe set. For a key as well as for a lookup the record has
// to come out the same again: an expression with the current time in it makes another body under the same key, which APIs refuse.
//
//	before   note that these records are being sent
//	Deliver  done(answers): in one transaction, write them down        <- a crash anywhere here
//	after    deliver those without an answer again: Maybe, and the others with Answered, in the same order
//
// A Failed answer is no verdict: keep it out of what is written down, and return an error so that the step is tried again later, until it
// has failed often enough to set the record aside.
//
// # Batches
//
// The key of a batch is a hash of the keys of exactly the records in it. Any other choice loses or doubles records sooner or later: under
// a key that stays the same while the composition changes the API answers for the old composition, and the new records are never
// written; under a key that differs although the composition is the same it writes them twice.
//
// From that follows that a batch has to be repeated with the same records. Batches are therefore cut by the positions of the records that
// Deliver is given, those with Answered included. A batch that the API refuses as a whole is halved, always at the same place, until the
// bad record is alone; all answers to one request reach done in one call. So an attempt that comes after a crash can see, from the
// answers alone, how far the halving had come: a part none of whose records has an answer may have been sent as it is, and is sent as it
// is; a part with some answers has been answered, and what is left of it goes on in halves. What the answer to a batch says to try again
// has not been done, and so gets a new key.
//
// Where the API takes a key for each record (record_key), or is asked by lookup, or replaces by PUT, none of that matters to it.
//
// What nobody can repair is an API that forgets its keys while a job lasts, that does a part of a batch and refuses it as a whole, or that
// does a request later than lookup.settle after the connection was cut.
//
// # Patience
//
// A request is tried a few times, with waits of random length, then its records are Failed. 429, and 503 with Retry-After, fail no record:
// what is too long to wait for goes back to the engine as tasks.RetryAfter, without an attempt spent, and all steps of this process leave
// the endpoint alone meanwhile. So does the circuit breaker, when an endpoint only fails.
package httpsink
