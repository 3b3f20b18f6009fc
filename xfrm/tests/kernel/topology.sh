# Few processes: starting one is what takes time in a user-mode or emulated kernel.
for n in h1 gm1 core gm2 h2; do
  test ! -e /run/netns/xfrm-$n || ip netns del xfrm-$n
  ip netns add xfrm-$n
  # Addresses of IPv6 are good at once.
  ip netns exec xfrm-$n sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad; echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad'
done
ip -batch - <<END
link add eth0 netns xfrm-h1 type veth peer name lan netns xfrm-gm1
link add wan netns xfrm-gm1 type veth peer name p1 netns xfrm-core
link add p2 netns xfrm-core type veth peer name wan netns xfrm-gm2
link add lan netns xfrm-gm2 type veth peer name eth0 netns xfrm-h2
END
batch() { ip -n xfrm-$1 -batch -; }
# 172.16/16 and 2001:db8:c0::/44 are what no access list entry names.
batch h1 <<END
link set lo up
link set eth0 up
addr add 10.1.1.10/24 dev eth0
addr add 172.16.1.10/24 dev eth0
route add default via 10.1.1.1
route add 172.16.0.0/16 via 172.16.1.1
addr add 2001:db8:a1::10/64 dev eth0
addr add 2001:db8:c1::10/64 dev eth0
route add default via 2001:db8:a1::1
route add 2001:db8:c0::/44 via 2001:db8:c1::1
END
batch gm1 <<END
link set lo up
link set lan up
link set wan up
addr add 10.1.1.1/24 dev lan
addr add 172.16.1.1/24 dev lan
addr add 192.0.2.1/30 dev wan
route add default via 192.0.2.2
addr add 2001:db8:a1::1/64 dev lan
addr add 2001:db8:c1::1/64 dev lan
addr add 2001:db8:1::1/64 dev wan
route add default via 2001:db8:1::2
END
batch core <<END
link set lo up
link set p1 up
link set p2 up
addr add 192.0.2.2/30 dev p1
addr add 198.51.100.2/30 dev p2
route add 10.1.1.0/24 via 192.0.2.1
route add 172.16.1.0/24 via 192.0.2.1
route add 10.2.2.0/24 via 198.51.100.1
route add 172.16.2.0/24 via 198.51.100.1
addr add 2001:db8:1::2/64 dev p1
addr add 2001:db8:2::2/64 dev p2
route add 2001:db8:a1::/64 via 2001:db8:1::1
route add 2001:db8:c1::/64 via 2001:db8:1::1
route add 2001:db8:a2::/64 via 2001:db8:2::1
route add 2001:db8:c2::/64 via 2001:db8:2::1
END
batch gm2 <<END
link set lo up
link set lan up
link set wan up
addr add 10.2.2.1/24 dev lan
addr add 172.16.2.1/24 dev lan
addr add 198.51.100.1/30 dev wan
route add default via 198.51.100.2
addr add 2001:db8:a2::1/64 dev lan
addr add 2001:db8:c2::1/64 dev lan
addr add 2001:db8:2::1/64 dev wan
route add default via 2001:db8:2::2
END
batch h2 <<END
link set lo up
link set eth0 up
addr add 10.2.2.10/24 dev eth0
addr add 172.16.2.10/24 dev eth0
route add default via 10.2.2.1
route add 172.16.0.0/16 via 172.16.2.1
addr add 2001:db8:a2::10/64 dev eth0
addr add 2001:db8:c2::10/64 dev eth0
route add default via 2001:db8:a2::1
route add 2001:db8:c0::/44 via 2001:db8:c2::1
END
for n in gm1 core gm2; do ip netns exec xfrm-$n sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'; done
