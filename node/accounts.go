package node

import (
	"context"
	"fmt"
	"strings"

	"kith.alt/kith"
	"kith.alt/kith/certificate"
	"kith.alt/kith/control"
)

// openCertificates opens the host's certificate authority.
func (n *Node) openCertificates(ctx context.Context) error {
	n.certificates = certificate.New(certificate.Config{
		Dir:   n.dir.File("certificate"),
		Title: fmt.Sprintf("kith on %s (%s)", n.name().Host, n.id.Short()),
		Names: n.certified,
		Event: func(text string) { n.event("%s", text) },
		Log:   n.log.With("service", "certificate"),
	})
	return n.certificates.Open(ctx)
}

// certified are the names by which client programs may know this host beside
// localhost: its name, those that it had, its ID, and what it is called where something is open.
func (n *Node) certified() []string {
	name := n.name()
	names := []string{name.String()}
	if member, ok := n.group().Roster().Member(n.id); ok {
		for _, former := range member.Former {
			names = append(names, kith.Name{Host: former, Group: name.Group}.String())
		}
	}
	return append(append(names, n.id.String()+"."+kith.Domain), n.outsideNames()...)
}

// updateCertificates follows a change of the host's names.
func (n *Node) updateCertificates() {
	if err := n.certificates.Update(); err != nil {
		n.event("The certificate of this computer could not be changed to its new name: %v", err)
	}
}

// Certificate returns what client programs of this host are to trust.
func (n *Node) Certificate(context.Context) (control.Certificate, error) {
	c := n.certificates.Certificate()
	return control.Certificate{PEM: string(c.PEM), Fingerprint: c.Fingerprint, Title: c.Title, Names: c.Names, Expires: c.Expires}, nil
}

var _ kith.Accounts = logins{}

// logins are the accounts as applications ask for them.
type logins struct{ node *Node }

func (l logins) Names(context.Context) ([]string, error) { return l.node.accounts.Names(), nil }

func (l logins) CheckAppPassword(ctx context.Context, user, secret, source string) (string, error) {
	account := l.node.accountOf(user)
	_, err := l.node.accounts.CheckAppPassword(ctx, account, secret, source)
	if err != nil {
		return "", err
	}
	return account, nil
}

func (l logins) Salt(user string) ([]byte, int) { return l.node.accounts.Salt(l.node.accountOf(user)) }

func (l logins) CheckProof(ctx context.Context, user, message string, proof []byte, source string) (string, []byte, error) {
	account := l.node.accountOf(user)
	_, signature, err := l.node.accounts.CheckProof(ctx, account, message, proof, source)
	if err != nil {
		return "", nil, err
	}
	return account, signature, nil
}

func (l logins) Revoked(account string) <-chan struct{} { return l.node.accounts.Revoked(account) }

// accountOf returns the account that a user's name or address means; what is
// nobody's account where the address is of another host.
func (n *Node) accountOf(user string) string {
	user = strings.ToLower(user)
	account, domain, ok := strings.Cut(user, "@")
	if !ok || domain == "localhost" {
		return account
	}
	if id, err := n.group().Roster().Resolve(domain); err != nil || id != n.id {
		return user
	}
	return account
}
