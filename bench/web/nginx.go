package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"kith.alt/kith/bench/harness"
)

// startNginx runs nginx on root with one worker for each processor, until the
// benchmark ends, and returns its URL.
func startNginx(ctx context.Context, b *harness.Bench, nginx, root string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	address := l.Addr().String()
	l.Close()
	config := filepath.Join(b.Dir, "nginx.conf")
	user := "" // nginx's workers drop root's rights, and could not read root
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, `%s daemon off; worker_processes auto; pid %s/nginx.pid; error_log stderr crit;
events { worker_connections 1024; }
http { access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
client_body_temp_path %[2]s/t1; proxy_temp_path %[2]s/t2; fastcgi_temp_path %[2]s/t3; uwsgi_temp_path %[2]s/t4; scgi_temp_path %[2]s/t5;
server { listen %[3]s; root %[4]s; } }
`, user, b.Dir, address, root), 0o600); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, nginx, "-c", config, "-p", b.Dir)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // SIGKILL would leave the workers
	cmd.WaitDelay = 5 * time.Second
	cmd.Stderr = os.Stderr
	if err := b.Keep(cmd); err != nil {
		return "", err
	}
	for range 100 {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return "http://" + address + "/", nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return "", fmt.Errorf("nginx does not answer on %s", address)
}
