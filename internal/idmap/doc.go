// Package idmap keeps in Redis which id an API has given to which record, for the references of later stages and jobs. It is the
// map of plans with ids:; without, the same is kept in stint_ids of the database of stint's own tables.
//
//	stint:ids:{t:acme}                            the tenant's maps: token, number of ids, and of each map ids and buckets
//	stint:ids:{t:acme}:acme/old/crm/customers:0   a bucket of one map: some 200 ids in one small hash
//	stint:ids:{t:acme}:acme/old/crm/customers:1   ...
//
// Four promises:
//
//   - What it has said once it says for ever: the first id of a record holds, another one for it is an error.
//   - It has a bound, in ids of a tenant. At the bound it refuses, all of a call or nothing; it never lets go of an id by itself. A
//     Redis that would, by its maxmemory-policy, is not opened.
//   - It is known when it is not the one of before: each tenant's maps have a token, and whoever works with them has to name it. After
//     a FLUSHALL, or with another Redis behind the same name, that is ErrLost and not a map in which nothing is found.
//   - An id takes few bytes. Redis keeps a hash of up to 512 short fields as one block of memory, so ids are spread over many such
//     buckets; they grow one at a time (linear hashing), and what is short as bytes, such as a UUID, is kept as bytes.
//
// All keys of a tenant share a hash tag: a script sees them together, also on a Redis Cluster, and so the bound is exact. A tenant's ids
// are on one node of the cluster, those of others on others.
package idmap
