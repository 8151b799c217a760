class GradScaler:
    def __init__(self, enabled=True):
        self.enabled = enabled

    def scale(self, x):
        return x

    def unscale_(self, o):
        pass

    def step(self, o):
        o.step()

    def update(self):
        pass

    def state_dict(self):
        return {}

    def load_state_dict(self, s):
        pass
