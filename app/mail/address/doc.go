// Package address says what an address of kith mail means: an account, an alias or a
// list of this host, an account of another member, or everybody.
//
// An address is account@host.group.kith.alt, with any name that the host has or had,
// its short name, or its ID; account@localhost, or the account alone, is of this host. What follows
// a plus sign (account+detail) is for the account's person to tell mail apart by; it says
// nothing about where the mail goes. "all", alone or @group.kith.alt, is every account of every member, as their
// signed records name them. "postmaster" is the account that was there first (RFC 5321 4.5.1). Mail goes to members of the
// group only, so there are no other addresses, and none with letters beyond ASCII (RFC 6531 is
// not offered).
//
// Aliases and lists are tables (mail_aliases, mail_lists, mail_list_members). An alias is another name of an
// account, also to send as; a list has members anywhere in the group, and an owner
// here. [Book] is safe for concurrent use.
package address
