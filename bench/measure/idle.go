package measure

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"time"
)

// An Idle is what a host pays for each connection to a peer that says nothing,
// and what the two together send.
type Idle struct {
	Heap, Resident float64 // bytes: heap and stacks, and what the system counts
	Goroutines     float64
	CPU            float64 // ms of a core in a second
	Bytes, Packets float64 // in a second, both directions; 0 where Traffic counts nothing
}

// IdlePeers connects this process to count peers and leaves them alone. What the
// first connection costs, which sets up what all share, is not counted; so count
// is two at least.
func IdlePeers(count int, settle, lasts time.Duration, connect func(number int) error) (Idle, error) {
	if err := connect(0); err != nil {
		return Idle{}, err
	}
	<-time.After(time.Second)
	heap, resident, err := memory()
	if err != nil {
		return Idle{}, err
	}
	goroutines := runtime.NumGoroutine()
	for number := 1; number < count; number++ {
		if err := connect(number); err != nil {
			return Idle{}, fmt.Errorf("peer %d: %w", number, err)
		}
	}
	<-time.After(settle)
	cpu := cpuTime()
	bytes, packets, _ := Traffic()
	began := time.Now()
	<-time.After(lasts)
	bytesAfter, packetsAfter, _ := Traffic()
	cpu = cpuTime() - cpu
	heapAfter, residentAfter, err := memory()
	if err != nil {
		return Idle{}, err
	}
	more, seconds := float64(count-1), time.Since(began).Seconds()
	return Idle{
		Heap:       (heapAfter - heap) / more,
		Resident:   (residentAfter - resident) / more,
		Goroutines: float64(runtime.NumGoroutine()-goroutines) / more,
		CPU:        cpu.Seconds() * 1e3 / seconds / float64(count),
		Bytes:      float64(bytesAfter-bytes) / seconds / float64(count),
		Packets:    float64(packetsAfter-packets) / seconds / float64(count),
	}, nil
}

// memory is what this process has in use after a collection.
func memory() (heap, resident float64, err error) {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	rss, err := ResidentMemory(os.Getpid())
	return float64(m.HeapAlloc + m.StackInuse), float64(rss), err
}

// The head of a table of what idle pairs cost.
const IdleHead = `| a pair over | resident memory at one end, kB | heap and stacks, kB | goroutines | CPU, ms/s | both directions, bytes/s | packets/s |
|---|---:|---:|---:|---:|---:|---:|`

// Row is a row of the table.
func (i Idle) Row(name string) string {
	return fmt.Sprintf("| %s | %.0f | %.0f | %.1f | %.3f | %.1f | %.2f |", name, i.Resident/1e3, i.Heap/1e3, i.Goroutines, i.CPU, i.Bytes, i.Packets)
}

// Child runs this program with other arguments in a process of its own and
// returns the lines that it printed before "ready". The process is told to end
// by the end of its standard input, however this one ends.
func Child(args ...string) (lines []string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(self, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop = func() {
		in.Close()
		cmd.Wait()
	}
	for said := bufio.NewScanner(out); said.Scan(); lines = append(lines, said.Text()) {
		if said.Text() == "ready" {
			return lines, stop, nil
		}
	}
	stop()
	return nil, nil, fmt.Errorf("%v ended before it was ready", args)
}

// Ready tells the parent process that this child is, and returns when it is to
// end.
func Ready() {
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
}
