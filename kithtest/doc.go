// Package kithtest runs several nodes in one process, for tests of what a group
// does together. Nodes are the real ones, on loopback, each with a data
// directory of its own that the test removes. Below it, package require says
// what a test needs beyond Go, and package browser opens a headless Chromium.
package kithtest
