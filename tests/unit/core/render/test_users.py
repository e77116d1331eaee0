from calico.core.render.users import Users


def test_users():
    users = Users()
    assert users.replace("x", "ab") == {"a", "b"}
    assert users.replace("y", "b") == set()
    assert users.of("b") == {"x", "y"}
    assert users.replace("x", "c") == {"a", "c"}
    assert users.of("a") == set()
    assert users.of("b") == {"y"}
    assert users.replace("y", "") == {"b"}
    assert users.replace("z", "") == set()
    assert users.replace("x", "c") == set()
