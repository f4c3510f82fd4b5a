package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"kith.alt/kith/bench/harness"
)

// pairSide is Postfix, which hands over to Dovecot.
type pairSide struct {
	Dir                   string
	SMTP, LMTP, IMAP      int // ports
	master, dovecotMaster int // processes
}

const password = "secret"

var mainCF = template.Must(template.New("main.cf").Parse(`compatibility_level = 3.6
queue_directory = {{.Dir}}/spool
data_directory = {{.Dir}}/data
mail_owner = postfix
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = bench.localhost
mydestination = bench.localhost
mynetworks = 127.0.0.0/8
local_recipient_maps =
local_transport = lmtp:inet:127.0.0.1:{{.LMTP}}
alias_maps =
in_flow_delay = 0s
smtpd_client_connection_count_limit = 0
smtpd_peername_lookup = no
default_destination_concurrency_limit = 50
`))

var masterCF = template.Must(template.New("master.cf").Parse(`127.0.0.1:{{.SMTP}} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
`))

var dovecotConf = template.Must(template.New("dovecot.conf").Parse(`base_dir = {{.Dir}}/dovecot
log_path = {{.Dir}}/dovecot.log
info_log_path = /dev/null
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{{.Dir}}/mail/%n
mail_max_userip_connections = 10000
auth_mechanisms = plain
auth_username_format = %n
default_client_limit = 12000
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=mail gid=mail home={{.Dir}}/mail/%n allow_all_users=yes
}
service imap-login {
  inet_listener imap {
    port = {{.IMAP}}
  }
  inet_listener imaps {
    port = 0
  }
  service_count = 0
  client_limit = 10000
}
service imap {
  process_limit = 10000
}
service lmtp {
  inet_listener lmtp {
    port = {{.LMTP}}
  }
}
mail_privileged_group = mail
first_valid_uid = 1
first_valid_gid = 1
`))

func startPair(ctx context.Context, b *harness.Bench) (*pairSide, error) {
	for _, tool := range []string{"postfix", "dovecot"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%w: install postfix, dovecot-imapd and dovecot-lmtpd", err)
		}
	}
	if os.Getuid() != 0 {
		return nil, fmt.Errorf("postfix and dovecot start as root only")
	}
	p := &pairSide{Dir: filepath.Join(b.Dir, "pair")}
	if err := p.prepare(b.Dir); err != nil {
		return nil, err
	}
	dovecot := exec.CommandContext(ctx, "dovecot", "-F", "-c", filepath.Join(p.Dir, "dovecot.conf"))
	dovecot.Cancel = func() error { return dovecot.Process.Signal(os.Interrupt) }
	if err := b.Keep(dovecot); err != nil {
		return nil, err
	}
	p.dovecotMaster = dovecot.Process.Pid
	postfix := exec.CommandContext(ctx, "/usr/lib/postfix/sbin/master", "-c", filepath.Join(p.Dir, "postfix"), "-d")
	postfix.Cancel = func() error { return postfix.Process.Signal(os.Interrupt) }
	postfix.Env = append(os.Environ(), "MAIL_CONFIG="+filepath.Join(p.Dir, "postfix"))
	if out, err := exec.CommandContext(ctx, "postfix", "-c", filepath.Join(p.Dir, "postfix"), "check").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("postfix check: %w: %s", err, out)
	}
	if err := b.Keep(postfix); err != nil {
		return nil, err
	}
	p.master = postfix.Process.Pid
	for _, port := range []int{p.SMTP, p.IMAP} {
		if err := listens(ctx, port); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// prepare writes the configurations and folders, which the servers' users have to reach.
func (p *pairSide) prepare(above string) error {
	if err := os.Chmod(above, 0o755); err != nil {
		return err
	}
	for _, port := range []*int{&p.SMTP, &p.LMTP, &p.IMAP} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer ln.Close()
		*port = ln.Addr().(*net.TCPAddr).Port
	}
	for folder, owner := range map[string]string{"": "", "postfix": "", "spool": "", "data": "postfix", "dovecot": "", "mail": "mail"} {
		path := filepath.Join(p.Dir, folder)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		if owner == "" {
			continue
		}
		who, err := user.Lookup(owner)
		if err != nil {
			return err
		}
		uid, _ := strconv.Atoi(who.Uid)
		gid, _ := strconv.Atoi(who.Gid)
		if err := os.Chown(path, uid, gid); err != nil {
			return err
		}
	}
	for file, form := range map[string]*template.Template{"postfix/main.cf": mainCF, "postfix/master.cf": masterCF, "dovecot.conf": dovecotConf} {
		var text bytes.Buffer
		if err := form.Execute(&text, p); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(p.Dir, file), text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// listens waits until something listens on a port.
func listens(ctx context.Context, port int) error {
	address := loopback(port)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			return conn.Close()
		}
	}
	return fmt.Errorf("nothing listens at %s", address)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func (p *pairSide) name() string { return "Postfix, Dovecot" }
func (p *pairSide) smtp() string { return loopback(p.SMTP) }
func (p *pairSide) imap() string { return loopback(p.IMAP) }
func (p *pairSide) credentials(person int) (string, string) {
	return people(person), password
}
func (p *pairSide) recipient() string { return "ann@bench.localhost" }
func (p *pairSide) signsIn() bool     { return false }

// processes are Dovecot's: the master and all below it.
func (p *pairSide) processes() ([]int, error) {
	family := map[int]bool{p.dovecotMaster: true}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	parents := make(map[int]int)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		parents[pid], _ = strconv.Atoi(fields[1])
	}
	for grew := true; grew; {
		grew = false
		for pid, parent := range parents {
			if family[parent] && !family[pid] {
				family[pid], grew = true, true
			}
		}
	}
	var list []int
	for pid := range family {
		list = append(list, pid)
	}
	return list, nil
}
