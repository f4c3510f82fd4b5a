// Package storetest is the specification of [kith.Store] in tests. [Run]
// checks durability of commits, rollback, isolation, cancellation and
// migrations, in SQL that every dialect knows. Every implementation runs it.
package storetest
