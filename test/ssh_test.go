package test

import (
	"bytes"
	"crypto/rand"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"kith.alt/kith/kithtest"
	"kith.alt/kith/kithtest/require"
)

// TestSSH logs in with an unmodified ssh to an OpenSSH server that another
// member exposes, and moves a file each way.
func TestSSH(t *testing.T) {
	require.Root(t) // the server changes users
	for _, tool := range []string{"ssh", "ssh-keygen", "scp"} {
		require.Tool(t, tool)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, key := range []string{"host", "mine"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key)).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v\n%s", err, out)
		}
	}
	port := startSSHD(t, dir)

	m := kithtest.New(t, "maple", "oak")
	kithOn(t, m.Nodes[0], "expose", port, "--to", "2222")

	kith, err := exec.LookPath("kith")
	if err != nil {
		t.Fatal(err)
	}
	options := []string{
		"-F", "none", "-i", filepath.Join(dir, "mine"), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=" + filepath.Join(dir, "known"),
		"-o", "ProxyCommand=" + kith + " --data " + m.Nodes[1].Config.Data + " dial %h %p",
	}
	out, err := exec.Command("ssh", append(options, "-p", "2222", me.Username+"@maple", "echo hello from $SSH_CONNECTION")...).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("hello from 127.0.0.1")) {
		t.Fatalf("ssh: %v\n%s", err, out)
	}

	file := filepath.Join(dir, "file")
	content := make([]byte, 8<<20)
	rand.Read(content)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	there, back := filepath.Join(dir, "there"), filepath.Join(dir, "back")
	for _, move := range [][2]string{{file, me.Username + "@maple:" + there}, {me.Username + "@maple:" + there, back}} {
		if out, err := exec.Command("scp", append(options, "-q", "-P", "2222", move[0], move[1])...).CombinedOutput(); err != nil {
			t.Fatalf("scp %v: %v\n%s", move, err, out)
		}
	}
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the file came back with other bytes (%v)", err)
	}
}

// startSSHD runs an OpenSSH server on a free loopback port until the test ends.
func startSSHD(t *testing.T, dir string) (port string) {
	t.Helper()
	const sshd = "/usr/sbin/sshd"
	require.Tool(t, sshd)
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // where sshd drops its privileges
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	_, port, _ = net.SplitHostPort(address)
	config := filepath.Join(dir, "sshd_config")
	write(t, config, "ListenAddress "+address+`
HostKey `+filepath.Join(dir, "host")+`
AuthorizedKeysFile `+filepath.Join(dir, "mine.pub")+`
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
`)
	cmd := exec.Command(sshd, "-D", "-e", "-f", config)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			conn.Close()
			return port
		}
	}
	t.Fatalf("sshd does not listen: %s", log.String())
	return ""
}
