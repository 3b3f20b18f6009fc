for n in h1 gm1 core gm2 h2; do
  ip netns del xfrm-$n 2>/dev/null || true
  ip netns add xfrm-$n
  ip -n xfrm-$n link set lo up
done
link() {
  ip link add $2 netns xfrm-$1 type veth peer name $4 netns xfrm-$3
  ip -n xfrm-$1 link set $2 up
  ip -n xfrm-$3 link set $4 up
}
link h1 eth0 gm1 lan
link gm1 wan core p1
link core p2 gm2 wan
link gm2 lan h2 eth0
batch() { ip -n xfrm-$1 -batch -; }
# 172.16/16 is what no access list entry names.
batch h1 <<END
addr add 10.1.1.10/24 dev eth0
addr add 172.16.1.10/24 dev eth0
route add default via 10.1.1.1
route add 172.16.0.0/16 via 172.16.1.1
END
batch gm1 <<END
addr add 10.1.1.1/24 dev lan
addr add 172.16.1.1/24 dev lan
addr add 192.0.2.1/30 dev wan
route add default via 192.0.2.2
END
batch core <<END
addr add 192.0.2.2/30 dev p1
addr add 198.51.100.2/30 dev p2
route add 10.1.1.0/24 via 192.0.2.1
route add 172.16.1.0/24 via 192.0.2.1
route add 10.2.2.0/24 via 198.51.100.1
route add 172.16.2.0/24 via 198.51.100.1
END
batch gm2 <<END
addr add 10.2.2.1/24 dev lan
addr add 172.16.2.1/24 dev lan
addr add 198.51.100.1/30 dev wan
route add default via 198.51.100.2
END
batch h2 <<END
addr add 10.2.2.10/24 dev eth0
addr add 172.16.2.10/24 dev eth0
route add default via 10.2.2.1
route add 172.16.0.0/16 via 172.16.2.1
END
for n in gm1 core gm2; do ip netns exec xfrm-$n sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'; done
