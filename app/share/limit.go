package share

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"

	"kith.alt/kith"
	"kith.alt/kith/terminal"
)

func limitCommand() kith.Command {
	var change limitFlags
	return kith.Command{
		Name:    "share limit",
		Summary: "show, or limit, what sharing may use of this computer",
		Help: `Rates are in bytes a second (2MB/s) or bits (16Mbit/s); none takes a limit off. --hours
sets rates for some hours of the week in place of --up and --down, and may be given
more than once; the first that fits holds. --hours none takes them all off.

Example: kith share limit --up 1MB/s --hours "mon-fri 08:00-18:00 up=200KB/s down=1MB/s"`,
		Flags: change.define,
		Run: func(ctx context.Context, env kith.Env, _ []string) error {
			var limits kith.SwarmLimits
			if err := env.API(ctx, http.MethodGet, "/limits", nil, &limits); err != nil {
				return err
			}
			if len(change) > 0 {
				for _, apply := range change {
					apply(&limits)
				}
				if err := env.API(ctx, http.MethodPut, "/limits", limits, &limits); err != nil {
					return err
				}
			}
			return env.Print(limits, limitsText(limits))
		},
	}
}

// limitFlags are what the flags of a line change.
type limitFlags []func(*kith.SwarmLimits)

func (f *limitFlags) define(set *flag.FlagSet) {
	*f = nil
	for _, rate := range []struct {
		name, usage string
		field       func(*kith.SwarmLimits) *int64
	}{
		{"up", "give at most so much, `RATE`", func(l *kith.SwarmLimits) *int64 { return &l.Up }},
		{"down", "take at most so much, `RATE`", func(l *kith.SwarmLimits) *int64 { return &l.Down }},
		{"member-up", "give at most so much to each member, `RATE`", func(l *kith.SwarmLimits) *int64 { return &l.MemberUp }},
		{"member-down", "take at most so much from each member, `RATE`", func(l *kith.SwarmLimits) *int64 { return &l.MemberDown }},
	} {
		set.Func(rate.name, rate.usage, func(text string) error {
			value, err := parseRate(text)
			*f = append(*f, func(l *kith.SwarmLimits) { *rate.field(l) = value })
			return err
		})
	}
	for _, size := range []struct {
		name, usage string
		field       func(*kith.SwarmLimits) *int64
	}{
		{"copies", "keep at most so many bytes for others alone, `SIZE`", func(l *kith.SwarmLimits) *int64 { return &l.Copies }},
		{"member-disk", "of these, at most so many published by each member, `SIZE`", func(l *kith.SwarmLimits) *int64 { return &l.MemberDisk }},
	} {
		set.Func(size.name, size.usage, func(text string) error {
			value, err := terminal.ParseSize(text)
			if err != nil {
				return fmt.Errorf("%w: %w", err, kith.Invalid)
			}
			*f = append(*f, func(l *kith.SwarmLimits) { *size.field(l) = value })
			return nil
		})
	}
	first := true
	set.Func("hours", "other rates at some `HOURS` of the week, or none", func(text string) error {
		if first {
			*f = append(*f, func(l *kith.SwarmLimits) { l.Hours = nil })
			first = false
		}
		if text == "none" {
			return nil
		}
		hours, err := parseHours(text)
		*f = append(*f, func(l *kith.SwarmLimits) { l.Hours = append(l.Hours, hours) })
		return err
	})
}

// parseRate reads bytes a second: "2MB/s", "500KB", "16Mbit/s"; "none" and "" are 0.
func parseRate(text string) (int64, error) {
	number := strings.TrimSuffix(strings.TrimSpace(text), "/s")
	if number == "" || number == "none" || number == "0" {
		return 0, nil
	}
	size, bits := number, int64(1)
	for _, unit := range []string{"bit", "bps"} {
		if short, ok := strings.CutSuffix(number, unit); ok {
			size, bits = short, 8
		}
	}
	value, err := terminal.ParseSize(size)
	if err != nil || value/bits == 0 {
		return 0, fmt.Errorf("%q is no rate such as 500KB/s, 2MiB/s or 16Mbit/s: %w", text, kith.Invalid)
	}
	return value / bits, nil
}

// parseHours reads "mon-fri 08:00-18:00 up=200KB/s down=1MB/s"; days and rates
// may be left out. That days and times exist is for the swarm to say.
func parseHours(text string) (kith.RateHours, error) {
	var h kith.RateHours
	for _, word := range strings.Fields(text) {
		name, value, named := strings.Cut(word, "=")
		from, to, _ := strings.Cut(word, "-")
		var err error
		switch {
		case named && name == "up":
			h.Up, err = parseRate(value)
		case named && name == "down":
			h.Down, err = parseRate(value)
		case !named && strings.Contains(word, ":"):
			h.From, h.To = from, to
		case !named && h.Days == "":
			h.Days = strings.ToLower(word)
		default:
			err = fmt.Errorf("%q is not understood; write hours as in mon-fri 08:00-18:00 up=200KB/s down=1MB/s: %w", word, kith.Invalid)
		}
		if err != nil {
			return h, err
		}
	}
	if h.From == "" || h.To == "" {
		return h, fmt.Errorf("%q has no hours such as 08:00-18:00: %w", text, kith.Invalid)
	}
	return h, nil
}

// limitRate writes a limit, 0 as none.
func limitRate(bytes int64) string {
	if bytes == 0 {
		return "no limit"
	}
	return terminal.Size(bytes) + "/s"
}

func limitsText(l kith.SwarmLimits) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Up\t%s\n", limitRate(l.Up))
	fmt.Fprintf(w, "Down\t%s\n", limitRate(l.Down))
	fmt.Fprintf(w, "To each member\t%s\n", limitRate(l.MemberUp))
	fmt.Fprintf(w, "From each member\t%s\n", limitRate(l.MemberDown))
	fmt.Fprintf(w, "Copies for others\t%s\n", terminal.Size(cmp.Or(l.Copies, kith.DefaultCopies)))
	fmt.Fprintf(w, "Of each member\t%s\n", terminal.Size(cmp.Or(l.MemberDisk, kith.DefaultMemberDisk)))
	for _, h := range l.Hours {
		fmt.Fprintf(w, "%s %s-%s\tup %s, down %s\n", cmp.Or(h.Days, "every day"), h.From, h.To, limitRate(h.Up), limitRate(h.Down))
	}
	w.Flush() // to a strings.Builder, which does not fail
	return b.String()
}
