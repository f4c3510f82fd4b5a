// Package service has the computer start kith for its user, without root: as a
// systemd user unit, a launchd agent, or a Windows logon task.
//
// [Install], [Remove] and [Status] make a [Plan], which says in full what is
// written and run, so that it can be shown first; [Plan.Carry] carries it out.
// Making a plan touches nothing and works for every system on any.
package service
