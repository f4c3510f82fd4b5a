package service

import (
	"bytes"
	"context"
	"embed"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"unicode/utf16"

	"kith.alt/kith"
)

// Config is what is started, and for whom.
type Config struct {
	GOOS       string
	Executable string   // absolute
	Args       []string // its arguments
	Home       string   // the user's home directory
	ConfigHome string   // $XDG_CONFIG_HOME, "" if not set
	Temp       string   // for files that are needed only while a plan is carried out
	User       string   // login name, on Windows with its domain
	UID        int
}

// A Plan is what installing, removing or asking takes, in this order.
type Plan struct {
	Write  []File     `json:"write,omitempty"`
	Run    [][]string `json:"run,omitempty"`
	Delete []string   `json:"delete,omitempty"`
	Note   string     `json:"note,omitempty"` // for the person, afterwards
}

// A File is to be written.
type File struct {
	Path    string `json:"path"`
	Content string `json:"content"`
	UTF16   bool   `json:"utf16,omitempty"` // with a byte order mark, as schtasks reads XML
}

const (
	unitName  = "kith.service"
	agentName = "alt.kith"
	taskName  = "Kith"
)

//go:embed templates/*
var templates embed.FS

// Install plans to start the program now and at each login.
func Install(c Config) (Plan, error) {
	content, err := c.render()
	if err != nil {
		return Plan{}, err
	}
	file := c.file()
	plan := Plan{Write: []File{{Path: file, Content: content}}}
	switch c.GOOS {
	case "linux":
		plan.Run = [][]string{
			{"systemctl", "--user", "daemon-reload"},
			{"systemctl", "--user", "enable", "--now", unitName},
		}
		plan.Note = "It starts when you log in. To have it start with the computer: loginctl enable-linger"
	case "darwin":
		plan.Run = [][]string{{"launchctl", "bootstrap", c.domain(), file}}
		plan.Note = "It starts when you log in."
	case "windows":
		plan.Write[0].UTF16 = true
		plan.Run = [][]string{
			{"schtasks", "/Create", "/TN", taskName, "/XML", file, "/F"},
			{"schtasks", "/Run", "/TN", taskName},
		}
		plan.Delete = []string{file}
		plan.Note = "It starts when you log in."
	}
	return plan, nil
}

// Remove plans to stop the program and not to start it again.
func Remove(c Config) (Plan, error) {
	switch c.GOOS {
	case "linux":
		return Plan{
			Run: [][]string{
				{"systemctl", "--user", "disable", "--now", unitName},
				{"systemctl", "--user", "daemon-reload"},
			},
			Delete: []string{c.file()},
		}, nil
	case "darwin":
		return Plan{Run: [][]string{{"launchctl", "bootout", c.domain() + "/" + agentName}}, Delete: []string{c.file()}}, nil
	case "windows":
		return Plan{Run: [][]string{
			{"schtasks", "/End", "/TN", taskName},
			{"schtasks", "/Delete", "/TN", taskName, "/F"},
		}}, nil
	}
	return Plan{}, c.unknown()
}

// Status plans to ask the system. Its command fails where the service does not
// run.
func Status(c Config) (Plan, error) {
	switch c.GOOS {
	case "linux":
		return Plan{Run: [][]string{{"systemctl", "--user", "--no-pager", "status", unitName}}}, nil
	case "darwin":
		return Plan{Run: [][]string{{"launchctl", "print", c.domain() + "/" + agentName}}}, nil
	case "windows":
		return Plan{Run: [][]string{{"schtasks", "/Query", "/TN", taskName}}}, nil
	}
	return Plan{}, c.unknown()
}

// Installed reports whether Install has been carried out. Where the system
// keeps no file of it, only the system knows, and Installed is true.
func Installed(c Config) bool {
	if c.GOOS == "windows" {
		return true
	}
	_, err := os.Stat(c.file())
	return err == nil
}

// file is where the service is described.
func (c Config) file() string {
	switch c.GOOS {
	case "linux":
		config := c.ConfigHome
		if config == "" {
			config = filepath.Join(c.Home, ".config")
		}
		return filepath.Join(config, "systemd", "user", unitName)
	case "darwin":
		return filepath.Join(c.Home, "Library", "LaunchAgents", agentName+".plist")
	default:
		return filepath.Join(c.Temp, "kith-task.xml")
	}
}

func (c Config) domain() string { return fmt.Sprintf("gui/%d", c.UID) }

func (c Config) unknown() error {
	return fmt.Errorf("kith knows no user services of %s, start it by the system's own means: %w", c.GOOS, kith.NotFound)
}

func (c Config) render() (string, error) {
	for _, text := range append([]string{c.Executable, c.Home, c.User}, c.Args...) {
		if strings.ContainsAny(text, "\x00\r\n") {
			return "", fmt.Errorf("%q has a line break: %w", text, kith.Invalid)
		}
	}
	name, ok := map[string]string{"linux": unitName, "darwin": agentName + ".plist", "windows": "kith-task.xml"}[c.GOOS]
	if !ok {
		return "", c.unknown()
	}
	t, err := template.New(name).Funcs(template.FuncMap{
		"systemd": quoteSystemd, "windows": quoteWindows, "xml": escapeXML,
	}).ParseFS(templates, "templates/"+name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = t.Execute(&b, c)
	return b.String(), err
}

// quoteSystemd quotes a word of a command line in a unit (systemd.service(5)).
func quoteSystemd(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, `$`, `$$`).Replace(word) + `"`
}

// quoteWindows quotes a word as CommandLineToArgvW takes it apart.
func quoteWindows(word string) string {
	if word != "" && !strings.ContainsAny(word, " \t\"") {
		return word
	}
	var b strings.Builder
	b.WriteByte('"')
	slashes := 0
	for _, c := range []byte(word) {
		switch c {
		case '\\':
			slashes++
		case '"':
			b.WriteString(strings.Repeat(`\`, slashes+1)) // double those before, and one for the quote
			slashes = 0
		default:
			slashes = 0
		}
		b.WriteByte(c)
	}
	b.WriteString(strings.Repeat(`\`, slashes))
	b.WriteByte('"')
	return b.String()
}

func escapeXML(text string) (string, error) {
	var b bytes.Buffer
	err := xml.EscapeText(&b, []byte(text))
	return b.String(), err
}

// String shows the plan to a person.
func (p Plan) String() string {
	var b strings.Builder
	for _, f := range p.Write {
		fmt.Fprintf(&b, "Write %s:\n\n", f.Path)
		for line := range strings.Lines(f.Content) {
			b.WriteString("    " + line)
		}
		b.WriteByte('\n')
	}
	for _, argv := range p.Run {
		fmt.Fprintf(&b, "Run %s\n", strings.Join(argv, " "))
	}
	for _, path := range p.Delete {
		fmt.Fprintf(&b, "Delete %s\n", path)
	}
	return b.String()
}

// Carry carries the plan out; what the commands print goes to out. The first
// step that fails ends it, but for commands before a deletion: what is to be
// deleted is deleted though it did not run.
func (p Plan) Carry(ctx context.Context, out io.Writer) error {
	for _, f := range p.Write {
		if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(f.Path, f.bytes(), 0o600); err != nil {
			return err
		}
	}
	var failed error
	for _, argv := range p.Run {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Run(); err != nil {
			failed = fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
			break
		}
	}
	for _, path := range p.Delete {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

func (f File) bytes() []byte {
	if !f.UTF16 {
		return []byte(f.Content)
	}
	b := []byte{0xff, 0xfe} // little endian
	for _, unit := range utf16.Encode([]rune(strings.ReplaceAll(f.Content, "\n", "\r\n"))) {
		b = append(b, byte(unit), byte(unit>>8))
	}
	return b
}
