// The echo server of echo.bench.ts in Go: `echo`, `sink` (reads) or `source` (writes). Prints its port and serves until it is killed.
package main

import (
	"fmt"
	"net"
	"os"
)

func main() {
	serve := map[string]func(net.Conn){"echo": echo, "sink": sink, "source": source}[os.Args[2]]
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		connection, err := listener.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer connection.Close()
			serve(connection)
		}()
	}
}

func echo(connection net.Conn) {
	buffer := make([]byte, 16*1024)
	for {
		n, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err := connection.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func sink(connection net.Conn) {
	buffer := make([]byte, 64*1024)
	for {
		if _, err := connection.Read(buffer); err != nil {
			return
		}
	}
}

func source(connection net.Conn) {
	buffer := make([]byte, 64*1024)
	for {
		if _, err := connection.Write(buffer); err != nil {
			return
		}
	}
}
