// Package html makes the HTML of a message safe to show: [Clean] keeps what words, tables and pictures need, and
// nothing that runs, loads, is filled in or leaves its place. Package bluemonday takes out what is not on the list; a second
// reading of what it leaves puts pictures of the message itself in their places, takes out those that
// would be loaded, checks styles again, and closes what is open, so that the result is
// balanced and not deeper than a browser reads.
//
// Pictures that a sender would have loaded tell him who reads his mail, when and where, so they
// are counted and left out. [Document] makes a page of its own of the result, which is to be served with [Policy]
// and shown in a frame that has a sandbox: what a fault here lets through then still cannot run, and
// reach nothing.
package html
