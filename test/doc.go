// Package test holds the tests that look at kith from outside: the layout of
// the repository, the command line as the README tells it, standard clients
// against running nodes. It has no code of its own.
package test
